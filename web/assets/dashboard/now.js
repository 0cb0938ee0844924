// The view Now: what is wrong, the accounts, the sinks, and treats as they come.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { Accounts } from './accounts.js';
import { advise } from './advice.js';
import { change, part } from './api.js';
import { deadLetters, overlays, status } from './data.js';
import { bytes, duration, number, plural } from './format.js';
import { Icon } from './icons.js';
import { LoginButton } from './login.js';
import { routeTo } from './route.js';
import { Sinks } from './sinks.js';
import { isFresh } from './startsteps.js';
import { clock, useStore } from './store.js';
import { Treats } from './treats.js';
import { Ago, Button, Failure, Fix, Pill, say } from './ui.js';

const STATES = { ready: ['good', 'Ready'], degraded: ['warn', 'Degraded'], not_ready: ['bad', 'Not ready'] };

/** Now is the first view. @param {{role: import('./types.js').Role}} props */
export function Now({ role }) {
  const { data, error } = useStore(status);
  const [level, word] = data ? STATES[data.state] : ['idle', 'Loading'];
  return html`<div class="heading"><h1>Now</h1><${Pill} level=${level}>${word}</${Pill}>
      <p class="dim">${data ? html`relay ${data.version}, started <${Ago} time=${data.started} />` : html`<span>Asking relay</span>`}</p></div>
    ${error && !error.offline && html`<${Failure} error=${error} retry=${() => status.refresh()} />`}
    ${role === 'owner' && html`<${GettingStarted} />`}
    <${Problems} status=${data} role=${role} />
    <${Totals} status=${data} />
    <div class="columns now">
      <div class="stack"><${Sinks} status=${data} role=${role} /></div>
      <div class="stack"><${Treats} /><${Accounts} status=${data} role=${role} /></div>
    </div>`;
}

const STARTED = 'relay.start'; // "open" or "done"

/** GettingStarted shows the first steps, until they are done or dismissed in this browser. */
function GettingStarted() {
  const s = useStore(status).data;
  const o = useStore(overlays).data;
  const memory = useRef(remembered());
  const [card, setCard] = useState(/** @type {any} */ (null));
  const wanted = memory.current !== 'done' && s && o && (memory.current === 'open' || isFresh(s, o));
  useEffect(() => {
    if (!wanted) return;
    remember(memory.current = 'open');
    import('./start.js').then((m) => setCard({ Start: m.Start }), () => {}); // without it, the other views do the same
  }, [Boolean(wanted)]);
  if (!card) return null;
  const done = () => {
    remember(memory.current = 'done');
    setCard(null);
  };
  return html`<${card.Start} onDone=${done} />`;
}

function remembered() {
  try {
    return localStorage.getItem(STARTED) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} value */
function remember(value) {
  try {
    localStorage.setItem(STARTED, value);
  } catch {
    // Without storage it is known as long as the page is open.
  }
}

/** Problems says what is wrong and how to fix it. @param {{status: import('./types.js').Status|undefined, role: string}} props */
function Problems({ status: s, role }) {
  if (!s) return html`<section class="allgood card"><span class="dim">Checking</span></section>`;
  const all = advise(s, clock.now());
  if (all.length === 0) {
    return html`<section class="allgood card" aria-label="Problems"><${Icon} name="check" />
      <p><strong>Everything works.</strong> Treats arrive and reach every sink.</p></section>`;
  }
  return html`<section class="problems card" aria-label="Problems"><h2 class="hidden">${plural(all.length, 'problem')}</h2>
    ${all.map((a) => html`<article key=${a.id} class="problem ${a.level}"><span class="mark"><${Icon} name="warn" /></span>
      <div class="what"><h3>${a.title}</h3><p>${a.text}</p>${a.next && html`<p>${a.next}</p>`}</div>
      <div class="do">${role === 'owner' && a.account && html`<${LoginButton} account=${a.account} kind="primary" />`}
        ${role === 'owner' && a.disabled && a.sink && html`<${EnableButton} sink=${a.sink} />`}
        ${a.command && html`<${Fix} fix=${a.command} />`}
        ${a.sink && !a.disabled && html`<a class="button" href=${routeTo('attempts', '', { sink: a.sink, outcome: 'failed' })}>See attempts</a>`}</div>
    </article>`)}</section>`;
}

/** EnableButton sends a disabled sink its events again. @param {{sink: string}} props */
function EnableButton({ sink }) {
  const enable = async () => {
    await change('POST', `sinks/${part(sink)}/enable`);
    await status.refresh();
    say(`${sink} is enabled`);
  };
  return html`<${Button} kind="primary" icon="play" onClick=${enable}>Enable</${Button}>`;
}

/** Totals are the numbers of relay as a whole. @param {{status: import('./types.js').Status|undefined}} props */
function Totals({ status: s }) {
  const sum = (/** @type {(sink: import('./types.js').SinkStatus) => number} */ f) => s?.sinks.reduce((total, sink) => total + f(sink), 0);
  const waiting = sum((k) => (k.pending ?? 0) + k.in_flight + k.retries);
  const dead = s && deadLetters(s);
  const p99 = s?.sinks.map((k) => k.latency_p99_seconds ?? 0);
  return html`<dl class="totals card">
    <div><dt>Treats per minute</dt><dd>${number(s?.journal.events_last_minute)}</dd></div>
    <div><dt>Slowest sink, p99</dt><dd>${p99?.some((v) => v > 0) ? duration(Math.max(...p99)) : '–'}</dd></div>
    <div><dt>Waiting at sinks</dt><dd class=${waiting ? 'warn' : ''}>${number(waiting)}</dd></div>
    <div><dt>Dead letters</dt><dd class=${dead ? 'warn' : ''}><a href="#/deadletters">${number(dead)}</a></dd></div>
    <div><dt>In the journal</dt><dd>${number(s?.journal.events)} <small>${bytes(s?.journal.bytes)}</small></dd></div>
  </dl>`;
}
