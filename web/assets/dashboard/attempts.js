// The view Attempts: what the sinks answered.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { lines } from './api.js';
import { duration, plural } from './format.js';
import { apiTime, filterBy, useLoad, useNames } from './page.js';
import { routeTo } from './route.js';
import { Button, Empty, Failure, Field, Loading, Pill, Select, When } from './ui.js';

const NEWEST = 200;

/** Attempts lists the newest attempts to deliver. Its filters are in the address. @param {{route: import('./route.js').Route}} props */
export function Attempts({ route: { query } }) {
  const key = JSON.stringify(query);
  const { data, error, busy, reload } = useLoad(key, (signal) => lines('attempts', {
    sink: query.sink, account: query.account, id: query.id, outcome: query.outcome, since: apiTime(query.since), until: apiTime(query.until), newest: NEWEST,
  }, { signal }));
  /** @type {import('./types.js').Attempt[]} */
  const attempts = [...(data ?? [])].reverse();
  return html`<div class="heading"><h1>Attempts</h1><p class="dim">Every attempt to deliver an event, and the answer</p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    <section class="card"><${Filters} key=${key} query=${query} />
      ${error && html`<${Failure} error=${error} retry=${reload} />`}
      ${!data && busy ? html`<${Loading} rows=${6} />` : attempts.length === 0 ? html`<${Empty} icon="attempts" title="No attempts">None matches.</${Empty}>`
        : html`<div class="table"><table class="fold" aria-busy=${busy}><thead><tr><th scope="col">Time</th><th scope="col">Sink</th><th scope="col">Outcome</th><th scope="col">Answer</th><th scope="col" class="end">Took</th><th scope="col">Event</th></tr></thead>
          <tbody>${attempts.map((a) => html`<tr key=${a.number}><td class="nowrap"><${When} time=${a.time} /></td><td class="nowrap"><strong>${a.sink}</strong></td>
            <td class="nowrap"><${Pill} level=${a.outcome === 'ok' ? 'good' : 'bad'}>${a.outcome === 'ok' ? 'Accepted' : 'Failed'}</${Pill}>${a.attempt > 1 && html` <small>attempt ${a.attempt}</small>`}</td>
            <td class="text"><div class="clamp" title=${a.reason}>${a.status ? html`<span class="dim">${a.status}</span> ` : ''}${a.reason}</div></td>
            <td class="end nowrap">${duration(a.latency_ms === undefined ? undefined : a.latency_ms / 1000)}</td>
            <td class="nowrap"><a href=${routeTo('event', a.id)} title=${a.id}><code>${a.id.slice(0, 4)}…${a.id.slice(-6)}</code></a></td></tr>`)}</tbody></table></div>
          <div class="table-foot"><span role="status">${data.length >= NEWEST ? `The newest ${NEWEST}` : plural(attempts.length, 'attempt')}</span></div>`}
    </section>`;
}

/** Filters is the form above the list. @param {{query: Record<string, string>}} props */
function Filters({ query }) {
  const names = useNames();
  const [form, setForm] = useState(query);
  const pick = (/** @type {string} */ name) => (/** @type {string} */ value) => filterBy('attempts', { ...form, [name]: value });
  const input = (/** @type {string} */ name) => (/** @type {any} */ e) => setForm({ ...form, [name]: e.target.value });
  const submit = (/** @type {Event} */ e) => {
    e.preventDefault();
    filterBy('attempts', form);
  };
  return html`<form class="filters" role="search" onSubmit=${submit}>
    <${Select} label="Sink" value=${form.sink ?? ''} any="All" options=${names.sinks} onChange=${pick('sink')} />
    <${Select} label="Outcome" value=${form.outcome ?? ''} any="All" options=${[['ok', 'Accepted'], ['failed', 'Failed']]} onChange=${pick('outcome')} />
    <${Select} label="Account" value=${form.account ?? ''} any="All" options=${names.accounts} onChange=${pick('account')} />
    <${Field} label="Event" hint="id" wide><input type="search" value=${form.id ?? ''} onInput=${input('id')} /></${Field}>
    <label class="field time"><span>From</span><input type="datetime-local" value=${form.since ?? ''} onChange=${input('since')} /></label>
    <label class="field time"><span>To</span><input type="datetime-local" value=${form.until ?? ''} onChange=${input('until')} /></label>
    <button type="submit" class="button">Filter</button>
  </form>`;
}
