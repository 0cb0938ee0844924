// The view Dead letters: events that a sink refused for good.

import { html } from '../vendor/htm/standalone.mjs';
import { brief } from './advice.js';
import { lines } from './api.js';
import { status } from './data.js';
import { Filters, timeFields } from './filters.js';
import { plural } from './format.js';
import { apiTime, useLoad, useNames } from './page.js';
import { routeToEvent } from './route.js';
import { Button, confirm, Empty, Failure, Loading, say, Text, When } from './ui.js';

const LIMIT = 500;
const AT_ONCE = 100; // so many numbers fit into an address
const EVERY = 5000;

/** choice is the filters as parameters of the API. @param {Record<string, string>} query */
const choice = (query) => ({ sink: query.sink, account: query.account, reason: query.reason, since: apiTime(query.since), until: apiTime(query.until) });

/** DeadLetters lists them. Its filters are in the address. @param {{route: import('./route.js').Route, role: string}} props */
export function DeadLetters({ route: { query }, role }) {
  const key = JSON.stringify(query);
  const names = useNames();
  /** @type {import('./filters.js').Filter[]} */
  const fields = [{ name: 'reason', label: 'Reason', hint: 'contains', kind: 'text' }, { name: 'sink', label: 'Sink', kind: 'choice', options: [...names.sinks, ...names.removed] },
    { name: 'account', label: 'Account', kind: 'choice', options: names.accounts }, ...timeFields];
  const { data, error, busy, reload } = useLoad(key, (signal) => lines('deadletters', { ...choice(query), limit: LIMIT }, { signal }), EVERY);
  /** @type {import('./types.js').DeadLetter[]} */
  const letters = data ?? [];
  const owner = role === 'owner';
  const run = async (/** @type {'redrive'|'purge'} */ verb, /** @type {number[]} */ numbers) => {
    const results = [];
    try {
      for (let i = 0; i < numbers.length; i += AT_ONCE) {
        results.push(...await lines('deadletters/' + verb, { number: numbers.slice(i, i + AT_ONCE) }, { method: 'POST' }));
      }
    } finally {
      const kept = results.filter((r) => r.kept);
      const done = results.length - kept.length;
      if (done > 0) say(`${plural(done, 'dead letter')} ${verb === 'redrive' ? 'on the way again' : 'deleted'}`);
      if (kept.length > 0) say(`${plural(kept.length, 'dead letter')} stayed: ${kept[0].kept.detail}`, 'bad');
      await Promise.all([reload(), status.refresh()]);
    }
  };
  // Those that are listed now, and not those that come until the question is answered.
  const listed = letters.map((l) => l.number);
  const many = listed.length === LIMIT ? `the ${LIMIT} dead letters that are listed` : plural(listed.length, 'dead letter');
  const redriveAll = async () => {
    if (await confirm('Send them again?', `relay gives ${many} to ${query.sink || 'the sinks'} again.`, 'Send again')) await run('redrive', listed);
  };
  const purgeAll = async () => {
    if (await confirm('Delete them?', `relay forgets ${many}. The events stay in the journal for as long as it keeps them. This cannot be undone.`, 'Delete')) await run('purge', listed);
  };
  const purge = async (/** @type {number} */ number) => {
    if (await confirm('Delete it?', `relay forgets dead letter ${number}. This cannot be undone.`, 'Delete')) await run('purge', [number]);
  };
  return html`<div class="heading"><h1>Dead letters</h1><p class="dim">Events that a sink refused for good</p>
      ${owner && letters.length > 0 && html`<div class="actions"><${Button} icon="again" onClick=${redriveAll}>Send all again</${Button}>
        <${Button} icon="trash" kind="danger" onClick=${purgeAll}>Delete all</${Button}></div>`}</div>
    <section class="card"><${Filters} key=${key} view="deadletters" query=${query} fields=${fields} action="Filter" />
      ${error && !(error.offline && data) && html`<${Failure} error=${error} retry=${reload} />`}
      ${!data && busy ? html`<${Loading} rows=${5} />`
        : !data ? null : letters.length === 0 ? html`<${Empty} icon="check" title="No dead letters">${Object.keys(query).length > 0 ? 'None matches.' : 'No sink has refused an event for good.'}</${Empty}>`
        : html`<div class="table"><table class="fold" aria-busy=${busy}><thead><tr><th scope="col">Refused</th><th scope="col">Sink</th>
          <th scope="col">Treat</th><th scope="col">Reason</th>
          <th scope="col" class="end">Attempts</th>${owner && html`<th scope="col"><span class="hidden">Actions</span></th>`}</tr></thead>
          <tbody>${letters.map((l) => html`<tr key=${l.number}><td class="nowrap"><${When} time=${l.time} /></td>
            <td class="nowrap"><strong>${l.sink}</strong>${names.removed.includes(l.sink) && html` <span class="tag">not running</span>`}</td>
            <td class="name"><div class="clamp"><a href=${routeToEvent(l.id)}><${Text}>${l.event?.data?.title || (l.id.startsWith('dig_') ? 'Digest' : 'Event')}</${Text}>
              </a> <span class="dim">${l.event?.data?.sender && html`<${Text}>${l.event.data.sender}</${Text}>`}</span></div></td>
            <td class="text"><div class="clamp" title=${l.reason}>${brief(l.reason)}</div></td>
              <td class="end">${l.attempts}<span class="phone-only">attempts</span></td>
            ${owner && html`<td class="end nowrap">
              <${Button} kind="square small plain" icon="again" label=${`Send dead letter ${l.number} again`} onClick=${() => run('redrive', [l.number])} />
              <${Button} kind="square small plain" icon="trash" label=${`Delete dead letter ${l.number}`} onClick=${() => purge(l.number)} />
                </td>`}</tr>`)}</tbody></table></div>
          <div class="table-foot">
            <span role="status">${letters.length === LIMIT ? `The oldest ${LIMIT}` : plural(letters.length, 'dead letter')}</span></div>`}
    </section>`;
}
