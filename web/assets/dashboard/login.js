// Logging in to an account at its provider.

import { html, useEffect, useState } from '../vendor/htm/standalone.mjs';
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

/** LoginDialog leads through a login and shows how far it is. @param {{account: string, onClose: () => void}} props */
function LoginDialog({ account, onClose }) {
  const path = `accounts/${part(account)}/login`;
  const [login, setLogin] = useState(/** @type {{url?: string, expires?: string, error?: any}} */ ({}));
  const [state, setState] = useState(/** @type {{state: string, detail?: string, fix?: string}} */ ({ state: 'waiting' }));
  const [address, setAddress] = useState('');
  const begin = async () => {
    setState({ state: 'waiting' });
    try {
      setLogin(await change('POST', path));
    } catch (error) {
      setLogin({ error });
    }
  };
  useEffect(() => { begin(); }, []);
  useEffect(() => {
    if (!login.url || state.state !== 'waiting') return;
    const timer = setInterval(async () => {
      try {
        const next = await get(path);
        if (next.state !== 'none') setState(next);
        if (next.state === 'done') {
          say(`Logged in to ${account}`);
          await status.refresh();
        }
      } catch {
        // It is asked again.
      }
    }, EVERY);
    return () => clearInterval(timer);
  }, [login.url, state.state]);
  const paste = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const next = await change('POST', path + '/paste', { address }).catch((error) => ({ state: 'failed', detail: error.message, fix: error.fix }));
    if (next?.state) setState(next);
  };
  return html`<${Dialog} title=${`Log in to ${account}`} onClose=${onClose}>
    ${login.error ? html`<${Failure} error=${login.error} retry=${begin} />` : !login.url ? html`<${Loading} rows=${2} />` : html`
      <ol class="steps">
        <li><div class="actions"><a class="button primary" href=${login.url} target="_blank" rel="noopener noreferrer">
          <${Icon} name="link" />Open the login page</a>
          <${CopyButton} text=${login.url} label="Copy the address of the login page" /></div>
          <small class="dim">Use the browser in which the streamer is signed in at the provider. The page ends <${Ago} time=${login.expires} />.</small>
            </li>
        <li>Allow the access. This dialog notices it by itself.
          <details><summary>The last page does not load?</summary>
            <p>That happens when the browser is on another machine than relay. Paste the address of that page here:</p>
            <form class="inline" onSubmit=${paste}><label class="field wide"><span>Address</span>
              <input type="url" required autocomplete="off" value=${address} onInput=${(/** @type {any} */ e) => setAddress(e.target.value)} />
                </label>
              <button class="button" type="submit">Use it</button></form></details></li>
      </ol>
      <div role="status">
        ${state.state === 'waiting' && html`<p class="notice idle"><span class="spinner"></span>Waiting for the login.</p>
          ${state.detail && html`<p class="notice warn"><${Icon} name="warn" />${state.detail}</p>`}`}
        ${state.state === 'done' && html`<p class="notice good"><${Icon} name="check" />Logged in. relay connects now.</p>`}
        ${state.state === 'failed' && html`<div class="notice bad"><${Icon} name="warn" /><div><p>The login failed: ${state.detail}.</p>
          ${state.fix && html`<p><${Fix} fix=${state.fix} /></p>`}<${Button} icon="again" onClick=${begin}>Start again</${Button}></div></div>`}
      </div>`}
    <div class="dialog-foot"><${Button} onClick=${onClose}>${state.state === 'done' ? 'Done' : 'Close'}</${Button}></div>
  </${Dialog}>`;
}
