// Logging in to an account at its provider.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change, get, part } from './api.js';
import { status } from './data.js';
import { Icon } from './icons.js';
import { Store, useStore } from './store.js';
import { Ago, Button, CopyButton, Dialog, Failure, Fix, Loading, say } from './ui.js';

const EVERY = 1000;

/** LoginButton opens the login of an account. @param {{account: string, kind?: string, again?: boolean}} props */
export function LoginButton({ account, kind, again }) {
  return html`<${Button} icon="key" kind=${kind} label=${again ? `Log in again to ${account}` : `Log in to ${account}`}
      onClick=${() => opened.set(account)}>${again ? 'Log in again' : 'Log in'}</${Button}>`;
}

/** opened is the account whose login is open; '': none. The dialog outlives its button, which may leave as soon as the login is done. */
const opened = new Store('');

/** Logins draws the dialog of the login that is open. */
export function Logins() {
  const account = useStore(opened);
  return account === '' ? null : html`<${LoginDialog} key=${account} account=${account} onClose=${() => opened.set('')} />`;
}

/**
 * @typedef {{state: string, detail?: string, fix?: string, method?: 'browser'|'token'|'none', token_page?: string}} LoginState
 */

/** LoginDialog leads through a login: in the browser, or with a personal token. @param {{account: string, onClose: () => void}} props */
function LoginDialog({ account, onClose }) {
  const path = `accounts/${part(account)}/login`;
  const [state, setState] = useState(/** @type {LoginState|undefined} */ (undefined));
  const [error, setError] = useState(/** @type {any} */ (undefined));
  const ask = async () => {
    setError(undefined);
    try {
      setState(await get(path));
    } catch (failure) {
      setError(failure);
    }
  };
  const finish = async () => {
    say(`Logged in to ${account}`);
    await status.refresh();
  };
  useEffect(() => { ask(); }, []);
  const [done, setDone] = useState(false);
  const Part = state?.method === 'token' ? WithToken : InBrowser;
  return html`<${Dialog} title=${`Log in to ${account}`} onClose=${onClose}>
    ${error ? html`<${Failure} error=${error} retry=${ask} />` : !state ? html`<${Loading} rows=${2} />`
      : html`<${Part} path=${path} page=${state.token_page} onDone=${() => { setDone(true); finish(); }} />`}
    <div class="dialog-foot"><${Button} onClick=${onClose}>${done ? 'Done' : 'Close'}</${Button}></div>
  </${Dialog}>`;
}

/** InBrowser leads through a login at the provider's page. @param {{path: string, onDone: () => void}} props */
function InBrowser({ path, onDone }) {
  const [login, setLogin] = useState(/** @type {{url?: string, expires?: string, error?: any}} */ ({}));
  const [state, setState] = useState(/** @type {LoginState} */ ({ state: 'waiting' }));
  const open = useRef(true); // at relay
  const become = (/** @type {LoginState} */ next) => {
    setState(next.state === 'none' ? { state: 'failed', detail: 'it was cancelled, or relay has started again' } : next);
    open.current = next.state === 'waiting';
    if (next.state === 'done') onDone();
  };
  const begin = async () => {
    setState({ state: 'waiting' });
    open.current = true;
    try {
      setLogin(await change('POST', path));
    } catch (error) {
      open.current = false;
      setLogin({ error });
    }
  };
  useEffect(() => {
    const begun = begin();
    return () => { // the login would keep its port, which other accounts may have too
      begun.then(() => open.current && change('DELETE', path)).catch(() => {});
    };
  }, []);
  useEffect(() => {
    if (!login.url || state.state !== 'waiting') return;
    let over = false;
    const timer = setInterval(async () => {
      const next = await get(path).catch(() => null); // it is asked again
      if (next && !over) become(next);
    }, EVERY);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [login.url, state.state]);
  const paste = async (/** @type {string} */ address) => {
    become(await change('POST', path + '/paste', { address }).catch((error) => ({ state: 'failed', detail: error.message, fix: error.fix })));
  };
  if (login.error) return html`<${Failure} error=${login.error} retry=${begin} />`;
  if (!login.url) return html`<${Loading} rows=${2} />`;
  return html`${state.state === 'waiting' && html`<ol class="steps">
      <li><div class="actions"><a class="button primary" href=${login.url} target="_blank" rel="noopener noreferrer">
        <${Icon} name="link" />Open the login page</a>
        <${CopyButton} text=${login.url} label="Copy the address of the login page" /></div>
        <small class="dim">Use the browser in which the streamer is signed in at the provider. The page ends <${Ago} time=${login.expires} />.</small></li>
      <li>Allow the access. This dialog notices it by itself.
        <details><summary>The last page does not load?</summary>
          <p>That happens when the browser is on another machine than relay. Paste the address of that page here:</p>
          <${Paste} type="url" label="Address" onText=${paste} /></details></li>
    </ol>`}
    <div role="status" class="stack">
      ${state.state === 'waiting' && html`<p class="notice idle"><span class="spinner"></span>Waiting for the login.</p>
        ${state.detail && html`<p class="notice warn"><${Icon} name="warn" />${state.detail}</p>`}`}
      ${state.state === 'done' && html`<${Success} />`}
      ${state.state === 'failed' && html`<div class="notice bad"><${Icon} name="warn" /><div><p>The login failed: ${reasonOf(state.detail ?? '')}.</p>
        ${state.fix && !state.fix.includes('relay auth login') && html`<p><${Fix} fix=${state.fix} /></p>`}
        <${Button} icon="again" onClick=${begin}>Start again</${Button}></div></div>`}
    </div>`;
}

/** WithToken takes a personal token. @param {{path: string, page?: string, onDone: () => void}} props */
function WithToken({ path, page, onDone }) {
  const [done, setDone] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (undefined));
  const use = async (/** @type {string} */ token) => {
    try {
      await change('POST', path + '/paste', { token });
      setDone(true);
      onDone();
    } catch (failure) {
      setError(failure);
    }
  };
  if (done) return html`<div role="status"><${Success} /></div>`;
  return html`<p>Create a personal token${page && html` at <a href=${page} target="_blank" rel="noopener noreferrer">${new URL(page).host}</a>`}, and paste it here:</p>
    <${Paste} type="password" label="Token" onText=${use} />
    ${error && html`<${Failure} error=${error} />`}`;
}

/** Success says that a login is done. */
const Success = () => html`<p class="notice good"><${Icon} name="check" />Logged in. relay connects now.</p>`;

/** Paste is a form for a text that comes from another page. @param {{type: string, label: string, onText: (text: string) => Promise<void>}} props */
function Paste({ type, label, onText }) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    await onText(text);
    setBusy(false);
  };
  return html`<form class="inline" onSubmit=${submit}><label class="field wide"><span>${label}</span>
      <input type=${type} required autocomplete="off" value=${text} onInput=${(/** @type {any} */ e) => setText(e.target.value)} /></label>
    <button class="button" type="submit" aria-busy=${busy}>Use it</button></form>`;
}

/** reasonOf is why a login failed, without what the title of the dialog says. @param {string} detail */
const reasonOf = (detail) => detail.replace(/^log in [^ :]+: /, '');
