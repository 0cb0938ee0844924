// The view Attempts: what the sinks answered.

import { html } from '../vendor/htm/standalone.mjs';
import { lines } from './api.js';
import { Filters, timeFields } from './filters.js';
import { duration, plural } from './format.js';
import { apiTime, useLoad, useNames } from './page.js';
import { routeToEvent } from './route.js';
import { Button, Empty, Failure, Loading, Pill, When } from './ui.js';

const NEWEST = 200;

/** Attempts lists the newest attempts to deliver. Its filters are in the address. @param {{route: import('./route.js').Route}} props */
export function Attempts({ route: { query } }) {
  const key = JSON.stringify(query);
  const names = useNames();
  /** @type {import('./filters.js').Filter[]} */
  const fields = [{ name: 'sink', label: 'Sink', kind: 'choice', options: names.sinks },
    { name: 'outcome', label: 'Outcome', kind: 'choice', options: [['ok', 'Accepted'], ['failed', 'Failed']] },
    { name: 'account', label: 'Account', kind: 'choice', options: names.accounts },
    { name: 'digests', label: 'Events', kind: 'choice', options: [['true', 'Digests of missed treats']] }, { name: 'id', label: 'Event', hint: 'id', kind: 'text' }, ...timeFields];
  const { data, error, busy, reload } = useLoad(key, (signal) => lines('attempts', {
    sink: query.sink, account: query.account, id: query.id, outcome: query.outcome, digests: query.digests, since: apiTime(query.since), until: apiTime(query.until), newest: NEWEST,
  }, { signal }));
  /** @type {import('./types.js').Attempt[]} */
  const attempts = [...(data ?? [])].reverse();
  return html`<div class="heading"><h1>Attempts</h1><p class="dim">Every attempt to deliver an event, and the answer</p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    <section class="card"><${Filters} key=${key} view="attempts" query=${query} fields=${fields} action="Filter" />
      ${error && html`<${Failure} error=${error} retry=${reload} />`}
      ${!data && busy ? html`<${Loading} rows=${6} />`
        : !data ? null : attempts.length === 0 ? html`<${Empty} icon="attempts" title="No attempts">None matches.</${Empty}>`
        : html`<div class="table"><table class="fold" aria-busy=${busy}><thead><tr><th scope="col">Time</th><th scope="col">Sink</th>
          <th scope="col">Outcome</th><th scope="col">Answer</th><th scope="col" class="end">Took</th><th scope="col">Event</th></tr></thead>
          <tbody>${attempts.map((a) => html`<tr key=${a.number}><td class="nowrap"><${When} time=${a.time} /></td>
            <td class="nowrap"><strong>${a.sink}</strong></td>
            <td class="nowrap">
              <${Pill} level=${a.outcome === 'ok' ? 'good' : 'bad'}>${a.outcome === 'ok' ? 'Accepted' : 'Failed'}</${Pill}>${a.attempt > 1 && html` <small>attempt ${a.attempt}</small>`}</td>
            <td class="text"><div class="clamp" title=${a.reason}>${a.status ? html`<span class="dim">${a.status}</span> ` : ''}${a.reason}</div></td>
            <td class="end nowrap">${duration(a.latency_ms === undefined ? undefined : a.latency_ms / 1000)}</td>
            <td class="nowrap"><a href=${routeToEvent(a.id)} title=${a.id}><code>${a.id.slice(0, 4)}…${a.id.slice(-6)}</code></a></td>
              </tr>`)}</tbody></table></div>
          <div class="table-foot">
            <span role="status">${data.length >= NEWEST ? `The newest ${NEWEST}` : plural(attempts.length, 'attempt')}</span></div>`}
    </section>`;
}
