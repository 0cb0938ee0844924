// The view Test treat: sends one, and shows it arrive.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change } from './api.js';
import { overlays, status, trace } from './data.js';
import { duration } from './format.js';
import { useNames } from './page.js';
import { routeTo } from './route.js';
import { useStore } from './store.js';
import { testEvent } from './testevent.js';
import { Empty, fail, Field, Pill, Select } from './ui.js';

const EVERY = 500;
const PATIENCE = 60_000;

/** Test sends a test treat. */
export function Test() {
  const names = useNames();
  const { data } = useStore(status);
  const [form, setForm] = useState({ account: '', sink: '', sender: 'Captain Crumb', title: 'Pizza Margherita', message: 'Only a test.' });
  const [sent, setSent] = useState(/** @type {{id: string, sink: string}|null} */ (null));
  const input = (/** @type {string} */ name) => (/** @type {any} */ e) => setForm({ ...form, [name]: e.target.value });
  const account = form.account || data?.accounts.find((a) => a.connection === 'connected')?.account || names.accounts[0] || '';
  const send = async (/** @type {Event} */ e) => {
    e.preventDefault();
    const provider = data?.accounts.find((a) => a.account === account)?.provider ?? '';
    const event = testEvent({ ...form, account, provider }, Date.now(), crypto.getRandomValues(new Uint8Array(10)));
    await change('POST', 'tests', { event, sink: form.sink || undefined });
    setSent({ id: event.id, sink: form.sink });
  };
  const submit = (/** @type {Event} */ e) => send(e).catch(fail);
  return html`<div class="heading"><h1>Test treat</h1>
    <p class="dim">It goes through the journal to the sinks like any treat, and counts for nothing</p></div>
    <div class="columns"><section class="card" aria-label="Test treat"><form class="form" onSubmit=${submit}>
        <${Field} label="From" hint="empty: anonymous"><input value=${form.sender} onInput=${input('sender')} /></${Field}>
        <${Field} label="Treat"><input value=${form.title} required onInput=${input('title')} /></${Field}>
        <${Field} label="Message"><textarea value=${form.message} onInput=${input('message')}></textarea></${Field}>
        <div class="pair">
          <${Select} label="Account" value=${account} options=${names.accounts} onChange=${(/** @type {string} */ v) => setForm({ ...form, account: v })} />
          <${Select} label="Sink" value=${form.sink} any="All sinks" options=${names.sinks} onChange=${(/** @type {string} */ v) => setForm({ ...form, sink: v })} />
            </div>
        <div class="actions"><button class="button primary" type="submit" disabled=${account === ''}>Send the test treat</button></div>
      </form></section>
      <section class="card" aria-labelledby="arrival-title"><header><h2 id="arrival-title">Where it arrives</h2></header>
        ${sent ? html`<${Arrival} key=${sent.id} id=${sent.id} sinks=${sent.sink ? [sent.sink] : names.sinks} overlays=${sent.sink ? [] : names.overlays} />`
          : html`<${Empty} icon="test" title="Nothing sent yet">Send a test treat to see it arrive at each sink.</${Empty}>`}
      </section></div>`;
}

/** Arrival shows where an event has arrived. @param {{id: string, sinks: string[], overlays: string[]}} props */
export function Arrival({ id, sinks, overlays: pages }) {
  const [steps, setSteps] = useState(/** @type {import('./types.js').TraceStep[]} */ ([]));
  const [waiting, setWaiting] = useState(true);
  const { data } = useStore(status);
  useEffect(() => {
    const until = Date.now() + PATIENCE;
    const ask = async () => {
      const found = await trace(id).catch(() => null);
      if (found) setSteps(found.steps);
      const arrived = new Set(found?.steps.filter((s) => s.step === 'dead_letter' || s.step === 'attempt' && !s.error).map((s) => s.sink));
      const written = found?.steps.some((s) => s.step === 'journaled');
      if (Date.now() > until || written && sinks.every((s) => arrived.has(s))) {
        clearInterval(timer);
        setWaiting(false);
      }
    };
    const timer = setInterval(ask, EVERY);
    return () => clearInterval(timer);
  }, [id]);
  const journaled = steps.some((s) => s.step === 'journaled');
  return html`<div role="status"><ol class="arrivals">
    <li><strong>Journal</strong><${Pill} level=${journaled ? 'good' : 'idle'}>${journaled ? 'Written' : 'Waiting'}</${Pill}></li>
    ${sinks.map((name) => html`<li key=${name}><strong>${name}</strong>
      <${Outcome} steps=${steps.filter((s) => s.sink === name)} waiting=${waiting} state=${data?.sinks.find((s) => s.sink === name)?.state} /></li>`)}
    ${pages.map((name) => html`<li key=${'overlay ' + name}><strong>Overlay ${name}</strong><${OnScreen} name=${name} id=${id} /></li>`)}
  </ol></div><div class="table-foot"><a href=${routeTo('event', id)}>See its way through relay</a></div>`;
}

/** Outcome is how far an event is at a sink. @param {{steps: import('./types.js').TraceStep[], waiting: boolean, state: string|undefined}} props */
function Outcome({ steps, waiting, state }) {
  const ok = steps.find((s) => s.step === 'attempt' && !s.error);
  const failed = [...steps].reverse().find((s) => s.error);
  if (ok) return html`<span class="dim">${duration((ok.latency ?? 0) / 1e9)}</span><${Pill} level="good">Arrived</${Pill}>`;
  if (steps.some((s) => s.step === 'dead_letter')) return html`<${Pill} level="bad">Refused</${Pill}>`;
  if (failed) return html`<span class="dim clamp">${failed.error}</span><${Pill} level="warn">Tried again</${Pill}>`;
  if (state === 'disabled') return html`<${Pill} level="idle">Disabled</${Pill}>`;
  if (state === 'down') return html`<span class="dim">it waits for the sink</span><${Pill} level="warn">Down</${Pill}>`;
  return html`<${Pill} level="idle">${waiting ? 'Waiting' : 'Not sent'}</${Pill}>`;
}

/** OnScreen is whether an overlay has shown an event. @param {{name: string, id: string}} props */
function OnScreen({ name, id }) {
  const seen = useRef(false);
  const o = useStore(overlays).data?.overlays.find((v) => v.name === name);
  if (!o) return null;
  if (o.showing?.id === id || o.last_shown?.alert.id === id) seen.current = true;
  if (seen.current) return html`<${Pill} level="good">${o.showing?.id === id ? 'On screen' : 'Shown'}</${Pill}>`;
  if (o.stopped || o.paused) return html`<${Pill} level="warn">${o.stopped ? 'Stopped' : 'Paused'}</${Pill}>`;
  if (!o.pages.some((p) => !p.preview)) return html`<span class="dim">it waits until the page is open</span><${Pill} level="idle">Not open</${Pill}>`;
  return html`<${Pill} level="idle">Waiting</${Pill}>`;
}
