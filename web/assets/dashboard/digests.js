// The view Digests: those that sinks got in place of missed treats.

import { html } from '../vendor/htm/standalone.mjs';
import { brief } from './advice.js';
import { lines } from './api.js';
import { Filters, timeFields } from './filters.js';
import { plural, shortTime } from './format.js';
import { apiTime, useLoad, useNames } from './page.js';
import { routeTo } from './route.js';
import { clock } from './store.js';
import { Button, Empty, Failure, Loading, Pill, When } from './ui.js';

const NEWEST = 100;

/** @type {Record<import('./types.js').Digest['state'], ['good'|'warn'|'bad'|'idle', string]>} */
const STATES = { delivered: ['good', 'Delivered'], waiting: ['warn', 'Waiting'], dead_letter: ['bad', 'Dead letter'], given_up: ['idle', 'Given up'] };

/** DigestState shows the state of a digest. @param {{digest: import('./types.js').Digest}} props */
export function DigestState({ digest: d }) {
  const [level, word] = STATES[d.state] ?? ['idle', d.state];
  return html`<${Pill} level=${level}>${word}</${Pill}>`;
}

/** period is the time from the first treat to the last. @param {import('./types.js').Digest} d @param {number} now */
export function period(d, now) { return d.first === d.last ? shortTime(d.first, now) : `${shortTime(d.first, now)} to ${shortTime(d.last, now)}`; }

/** Digests lists the newest digests. Its filters are in the address. @param {{route: import('./route.js').Route}} props */
export function Digests({ route: { query } }) {
  const key = JSON.stringify(query);
  const names = useNames();
  /** @type {import('./filters.js').Filter[]} */
  const fields = [{ name: 'sink', label: 'Sink', kind: 'choice', options: names.sinks },
    { name: 'account', label: 'Account', kind: 'choice', options: names.accounts }, ...timeFields];
  const { data, error, busy, reload } = useLoad(key, (signal) => lines('digests', {
    sink: query.sink, account: query.account, since: apiTime(query.since), until: apiTime(query.until), newest: NEWEST,
  }, { signal }));
  /** @type {import('./types.js').Digest[]} */
  const digests = [...(data ?? [])].reverse();
  return html`<div class="heading"><h1>Digests</h1><p class="dim">One message in place of many missed treats, for sinks with <code>backfill: digest</code></p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    <section class="card"><${Filters} key=${key} view="digests" query=${query} fields=${fields} action="Filter" />
      ${error && html`<${Failure} error=${error} retry=${reload} />`}
      ${!data && busy ? html`<${Loading} rows=${4} />`
        : !data ? null : digests.length === 0 ? html`<${Empty} icon="digests" title="No digests">${Object.keys(query).length > 0 ? 'None matches.' : 'relay has not found missed treats for a sink with digests.'}</${Empty}>`
        : html`<div class="table"><table class="fold" aria-busy=${busy}><thead><tr><th scope="col">Time</th><th scope="col">Sink</th>
          <th scope="col">Outcome</th><th scope="col" class="end">Treats</th><th scope="col">Sent</th><th scope="col">Account</th></tr></thead>
          <tbody>${digests.map((d) => html`<tr key=${d.id}><td class="nowrap"><a href=${routeTo('digest', d.id)}><${When} time=${d.time} /></a></td>
            <td class="nowrap"><strong>${d.sink}</strong></td>
            <td class="text"><${DigestState} digest=${d} />${d.state !== 'delivered' && d.reason && html`<div class="clamp dim" title=${d.reason}>${brief(d.reason)}</div>`}</td>
            <td class="end">${d.count}<span class="phone-only">${d.count === 1 ? 'treat' : 'treats'}</span></td>
            <td class="nowrap">${period(d, clock.now())}</td><td class="nowrap dim">${d.account}</td></tr>`)}</tbody></table></div>
          <div class="table-foot">
            <span role="status">${digests.length >= NEWEST ? `The newest ${NEWEST}` : plural(digests.length, 'digest')}</span></div>`}
    </section>`;
}
