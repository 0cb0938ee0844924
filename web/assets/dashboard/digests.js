// The view Digests: missed treats that were summed up for a sink.

import { html } from '../vendor/htm/standalone.mjs';
import { lines } from './api.js';
import { number, plural } from './format.js';
import { useLoad } from './page.js';
import { routeTo } from './route.js';
import { Empty, Failure, Loading, Text, When } from './ui.js';

const NEWEST = 100;

/** Digests lists the digests, newest first. */
export function Digests() {
  const { data, error, busy, reload } = useLoad('', (signal) => lines('history', { type: 'treatrelay.digest.v1', newest: NEWEST }, { signal }));
  const digests = [...(data ?? [])].reverse();
  return html`<div class="heading"><h1>Digests</h1><p class="dim">Missed treats, summed up for sinks with <code>backfill: digest</code></p></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && busy && html`<${Loading} rows=${3} />`}
    ${data && digests.length === 0 && html`<section class="card">
      <${Empty} icon="digests" title="No digests">There is one each time relay finds treats that it missed, for each sink with <code>backfill: digest</code>.</${Empty}>
      </section>`}
    <ul class="cards">${digests.map((d) => html`<${Digest} key=${d.number} item=${d} />`)}</ul>`;
}

/** Digest is one digest. @param {{item: any}} props */
function Digest({ item }) {
  const d = item.event.data;
  return html`<li class="card sink"><header><h2>${plural(d.count, 'missed treat')}</h2><span class="dim">${d.account}</span>
    <span class="end side-note"><a href=${routeTo('event', item.id)}><${When} time=${item.time} /></a></span></header>
    <p class="dim">Sent from <${When} time=${d.first} /> to <${When} time=${d.last} /> by ${plural(d.senders, 'viewer')}${d.anonymous > 0 && `, and ${number(d.anonymous)} anonymous`}</p>
    ${d.top?.length > 0 && html`<ul class="entries plain">${d.top.map((/** @type {any} */ t) => html`<li><${Text}>${t.title}</${Text}>
      <strong class="end">${number(t.count)}</strong></li>`)}</ul>`}
    ${d.from?.length > 0 && html`<p>
      <span class="dim">From</span> ${d.from.map((/** @type {string} */ name, /** @type {number} */ i) => html`${i > 0 && ', '}<${Text}>${name}</${Text}>`)}
      ${d.senders > d.from.length && html`<span class="dim"> and others</span>`}</p>`}
  </li>`;
}
