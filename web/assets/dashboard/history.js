// The view History: search in the journal.

import { html, useEffect, useState } from '../vendor/htm/standalone.mjs';
import { lines } from './api.js';
import { Filters, timeFields } from './filters.js';
import { inputTime, plural } from './format.js';
import { apiTime, useLoad, useNames } from './page.js';
import { routeTo } from './route.js';
import { clock } from './store.js';
import { Origin } from './treats.js';
import { Button, Empty, Failure, Loading, Text, When } from './ui.js';

const PAGE = 100;
/** @type {[string, string][]} */
const ORIGINS = [['live', 'Live'], ['backfill', 'Backfill'], ['test', 'Test'], ['replay', 'Replay']];

/** History searches treats. Its filters are in the address. @param {{route: import('./route.js').Route}} props */
export function History({ route: { query } }) {
  const key = JSON.stringify(query);
  const names = useNames();
  /** @type {import('./filters.js').Filter[]} */
  const fields = [{ name: 'text', label: 'Text', hint: 'sender, treat or message', kind: 'text' },
    { name: 'account', label: 'Account', kind: 'choice', options: names.accounts },
    { name: 'origin', label: 'Origin', kind: 'choice', any: 'All but replays', options: ORIGINS }, ...timeFields];
  const last = (/** @type {number} */ hours) => () => ({ since: inputTime(new Date(clock.now() - hours * 3_600_000)), until: '' });
  const [older, setOlder] = useState(/** @type {{key: string, items: import('./types.js').HistoryItem[], end: boolean}} */ ({ key, items: [], end: false }));
  const search = (/** @type {number|undefined} */ last, /** @type {AbortSignal} */ signal) => lines('history', {
    type: 'treatrelay.treat.v1', text: query.text, account: query.account, origin: query.origin,
    since: apiTime(query.since), until: apiTime(query.until), newest: PAGE, last,
  }, { signal });
  const { data, error, busy, reload } = useLoad(key, (signal) => search(undefined, signal));
  useEffect(() => setOlder({ key, items: [], end: false }), [key]);
  /** @type {import('./types.js').HistoryItem[]} */
  const items = [...(data ?? [])].reverse().concat(older.key === key ? older.items : []);
  const more = async () => {
    const page = await search(items[items.length - 1].number - 1, new AbortController().signal);
    setOlder({ key, items: [...older.items, ...page.reverse()], end: page.length < PAGE });
  };
  const all = data && (data.length < PAGE || older.end);
  return html`<div class="heading"><h1>History</h1><p class="dim">Every treat in the journal</p></div>
    <section class="card">
      <${Filters} key=${key} view="history" query=${query} fields=${fields} action="Search" shortcuts=${[['Last hour', last(1)], ['Last day', last(24)]]} />
      ${error && html`<${Failure} error=${error} retry=${reload} />`}
      ${!data && busy ? html`<${Loading} rows=${6} />`
        : !data ? null : items.length === 0 ? html`<${Empty} icon="history" title="Nothing found">No treat in the journal matches.</${Empty}>`
        : html`<${TreatTable} items=${items} busy=${busy} />
          <div class="table-foot">
            <span role="status">${plural(items.length, 'treat')}${all ? '' : ', newest first'}</span>${!all && html`<${Button} onClick=${more}>Show older</${Button}>`}</div>`}
    </section>`;
}

/** TreatTable lists treats, with oneAccount all of the same and of the same origin. @param {{items: import('./types.js').HistoryItem[], busy?: boolean, oneAccount?: boolean}} props */
export function TreatTable({ items, busy, oneAccount }) {
  return html`<div class="table"><table class="fold" aria-busy=${busy}><thead><tr><th scope="col">Sent</th><th scope="col">From</th>
    <th scope="col">Treat</th><th scope="col">Message</th>${!oneAccount && html`<th scope="col">Account</th>`}</tr></thead>
    <tbody>${items.map((i) => html`<${Row} key=${i.number} item=${i} oneAccount=${oneAccount} />`)}</tbody></table></div>`;
}

/** Row is one treat. @param {{item: import('./types.js').HistoryItem, oneAccount?: boolean}} props */
function Row({ item, oneAccount }) {
  const { sender, title, message } = item.event.data;
  return html`<tr><td class="nowrap"><a href=${routeTo('event', item.id)}><${When} time=${item.time} /></a></td>
    <td class="name"><div class="clamp">${sender ? html`<strong><${Text}>${sender}</${Text}>
      </strong>` : html`<span class="dim">Anonymous</span>`}</div></td><td class="name"><div class="clamp"><${Text}>${title}</${Text}></div></td>
    <td class="text"><div class="clamp"><${Text}>${message}</${Text}></div></td>
      ${!oneAccount && html`<td class="nowrap dim">${item.account} <${Origin} origin=${item.origin} /></td>`}</tr>`;
}
