// The card "Getting started": what is left to do after the setup.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { change, part } from './api.js';
import { overlays, status } from './data.js';
import { Icon } from './icons.js';
import { LoginButton } from './login.js';
import { startSteps } from './startsteps.js';
import { useStore } from './store.js';
import { Arrival } from './test.js';
import { testEvent } from './testevent.js';
import { Button, CopyButton } from './ui.js';

/** Start leads through the first steps. @param {{onDone: () => void}} props */
export function Start({ onDone }) {
  const s = useStore(status).data;
  const o = useStore(overlays).data;
  if (!s || !o) return null;
  const steps = startSteps(s, o);
  const left = steps.filter((step) => !step.done).length;
  return html`<section class="card start" aria-labelledby="start-title">
    <header><h2 id="start-title">Getting started</h2><span class="dim">${left === 0 ? 'all done' : `${steps.length - left} of ${steps.length} done`}</span>
      <span class="end"><${Button} kind="small plain" onClick=${onDone}>${left === 0 ? 'Close' : 'Dismiss'}</${Button}></span></header>
    <ol>${steps.map((step, i) => html`<li key=${step.id} class=${step.done ? 'done' : ''}>
      <span class="mark">${step.done ? html`<${Icon} name="check" /><span class="hidden">Done:</span>` : i + 1}</span>
      ${step.id === 'login' && html`<${Login} step=${step} />`}
      ${step.id === 'overlay' && html`<${Page} step=${step} />`}
      ${step.id === 'test' && html`<${Try} status=${s} overlays=${o} />`}</li>`)}</ol>
  </section>`;
}

/** Login is the first login. @param {{step: import('./startsteps.js').StartStep}} props */
function Login({ step }) {
  return html`<div><h3>Log in</h3>
    ${step.done ? html`<p class="dim">relay has its token, and renews it by itself.</p>` : html`<p class="dim">Let relay use your account.</p>
      <div class="actions">${step.names.map((name) => html`<${LoginButton} key=${name} account=${name} kind="primary" />`)}</div>`}</div>`;
}

/** Page makes the address of an overlay. @param {{step: import('./startsteps.js').StartStep}} props */
function Page({ step }) {
  const [name] = step.names;
  const [url, setURL] = useState('');
  const make = async () => {
    setURL((await change('POST', `overlays/${part(name)}/keys`, {})).url);
    await overlays.refresh();
  };
  return html`<div><h3>Add the overlay to OBS</h3>
    ${url ? html`<p class="dim">In OBS, add a browser source with this address, 1920 wide and 1080 high. It is shown only now: keep it like a password.</p>
        <div class="secret-url"><code>${url}</code><${CopyButton} text=${url} label="Copy the address">Copy</${CopyButton}></div>`
      : step.done ? html`<p class="dim">Its address exists. For another one, open <a href="#/overlays">Overlays</a>.</p>`
        : html`<p class="dim">A browser source in OBS shows the treats.</p>
          <div class="actions"><${Button} icon="key" kind="primary" onClick=${make}>Make the address</${Button}></div>`}</div>`;
}

/** Try sends a test treat. @param {{status: import('./types.js').Status, overlays: import('./types.js').Overlays}} props */
function Try({ status: s, overlays: o }) {
  const [id, setID] = useState('');
  const account = s.accounts[0];
  const send = async () => {
    const event = testEvent(
      { account: account.account, provider: account.provider, sender: 'Captain Crumb', title: 'Pizza Margherita', message: 'Only a test.' },
      Date.now(), crypto.getRandomValues(new Uint8Array(10)));
    await change('POST', 'tests', { event });
    setID(event.id);
    await Promise.all([status.refresh(), overlays.refresh()]);
  };
  return html`<div><h3>Send a test treat</h3>
    <p class="dim">It takes the way of a real one, and counts for nothing.</p>
    <div class="actions"><${Button} icon="test" kind=${id ? '' : 'primary'} disabled=${!account} onClick=${send}>${id ? 'Send another' : 'Send a test treat'}</${Button}></div>
    ${id && html`<${Arrival} key=${id} id=${id} sinks=${s.sinks.map((k) => k.sink)} overlays=${o.overlays.map((v) => v.name)} />`}</div>`;
}
