// The accounts: how each is connected, and its token.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { needsLogin } from './advice.js';
import { LoginButton } from './login.js';
import { Ago, Button, Loading, Pill } from './ui.js';
import { plural } from './format.js';

/** @type {Record<string, ['good'|'warn'|'bad'|'idle', string]>} */
const CONNECTIONS = {
  connected: ['good', 'Connected'], connecting: ['idle', 'Connecting'], reconnecting: ['warn', 'Reconnecting'], login_needed: ['bad', 'Login needed'],
  none: ['idle', 'Token only'],
};

const isWell = (/** @type {import('./types.js').AccountStatus} */ a) => a.connection === 'connected' || a.connection === 'none' && !needsLogin(a);
const MANY = 20; // of more accounts only those with a problem and some others are shown at first

/** Accounts lists the accounts. @param {{status: import('./types.js').Status|undefined, role: string}} props */
export function Accounts({ status, role }) {
  const [all, setAll] = useState(false);
  const accounts = [...(status?.accounts ?? [])].sort((a, b) => Number(isWell(a)) - Number(isWell(b)));
  return html`<section class="card" aria-labelledby="accounts-title"><header><h2 id="accounts-title">Accounts</h2></header>
    ${status ? html`<ul class="entries">${(all ? accounts : accounts.slice(0, MANY)).map((a) => html`<${Account} key=${a.account} account=${a} role=${role} />`)}</ul>`
      : html`<${Loading} rows=${2} />`}
    ${accounts.length > MANY && html`<div class="table-foot"><span>${plural(accounts.length, 'account')}</span>
      <${Button} kind="small" onClick=${() => setAll(!all)}>${all ? 'Show fewer' : 'Show all'}</${Button}></div>`}
  </section>`;
}

/** Account is one account. @param {{account: import('./types.js').AccountStatus, role: string}} props */
function Account({ account: a, role }) {
  const [level, word] = CONNECTIONS[needsLogin(a) ? 'login_needed' : a.connection] ?? ['idle', a.connection];
  const connected = a.connection === 'connected';
  return html`<li class="account">
    <div class="name"><strong>${a.account}</strong> <span class="dim">${a.provider}</span></div>
    <${Pill} level=${level}>${word}</${Pill}>
    <dl class="facts">
      <div><dt>${connected ? 'Connected' : 'Since'}</dt><dd><${Ago} time=${a.since} /></dd></div>
      <div><dt>Last treat</dt><dd><${Ago} time=${a.last_treat?.time} /></dd></div>
      <div><dt>Token</dt><dd>${a.token.replaceAll('_', ' ')}${a.token_expiry && html`, ends <${Ago} time=${a.token_expiry} />`}</dd></div>
      ${a.reconnects > 0 && html`<div><dt>Lost</dt><dd>${plural(a.reconnects, 'connection')}</dd></div>`}
    </dl>
    ${role === 'owner' && html`<${LoginButton} account=${a.account} again=${!needsLogin(a)}
      kind=${needsLogin(a) ? 'primary small' : 'small'} />`}
  </li>`;
}
