// Treats as they come.

import { html, useRef, useState } from '../vendor/htm/standalone.mjs';
import { feed } from './data.js';
import { number } from './format.js';
import { RowList } from './list.js';
import { routeTo } from './route.js';
import { useStore } from './store.js';
import { Ago, Button, Empty, Pill, Text } from './ui.js';

const ROW = 60; // pixels, as in dashboard.css

/** Treats is a list that grows at its top. While somebody reads further down it stands still, and counts what is new. */
export function Treats() {
  const { connected, total, loaded } = useStore(feed);
  const [held, setHeld] = useState(/** @type {{total: number, treats: import('./data.js').Treat[]}|null} */ (null));
  const section = useRef(/** @type {any} */ (null));
  const scrolled = (/** @type {number} */ pixels) => {
    if (pixels < ROW / 2) setHeld(null);
    else if (!held) setHeld({ total, treats: feed.ring.newestFirst() });
  };
  const toTop = () => {
    section.current.querySelector('.rows').scrollTop = 0;
    setHeld(null);
  };
  const count = held ? held.treats.length : feed.ring.length;
  const at = (/** @type {number} */ i) => (held ? held.treats[i] : feed.ring.at(i));
  return html`<section class="card treats" aria-labelledby="treats-title" ref=${section}>
    <header><h2 id="treats-title">Treats</h2>
      ${held && total > held.total ? html`<${Button} icon="up" kind="small primary" onClick=${toTop}>${number(total - held.total)} new</${Button}>`
        : html`<${Pill} level=${connected ? 'good' : 'idle'}>${connected ? 'live' : 'connecting'}</${Pill}>`}</header>
    ${count === 0 && loaded ? html`<${Empty} icon="now" title="No treats yet">They appear here as soon as somebody sends one.</${Empty}>`
      : html`<${RowList} label="Treats, newest first" count=${count} row=${ROW} at=${(/** @type {number} */ i) => html`<${TreatRow} treat=${at(i)} />`}
        keyOf=${(/** @type {number} */ i) => at(i).number} onScrolled=${scrolled} />`}
  </section>`;
}

/** TreatRow is one treat. @param {{treat: import('./data.js').Treat}} props */
function TreatRow({ treat: { event } }) {
  const { sender, title, message, account } = event.data;
  return html`<a class="treat" href=${routeTo('event', event.id)}>
    <span class="line">
      <strong>${sender ? html`<${Text}>${sender}</${Text}>` : html`<em>Anonymous</em>`}</strong>${title && html` <span class="sep">·</span> <${Text}>${title}</${Text}>`}</span>
    <span class="side-note"><${Origin} origin=${event.origin} /><${Ago} time=${event.time} /></span>
    <span class="line dim">${message?.trim() && html`<${Text}>${message}</${Text}>`}</span>
    <span class="side-note dim">${account}</span></a>`;
}

/** Origin says where a treat comes from, unless it is live. @param {{origin: string}} props */
export function Origin({ origin }) {
  return origin === 'live' ? null : html`<span class="tag ${origin}">${origin}</span>`;
}
