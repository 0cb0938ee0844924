// Treats as they come.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { feed } from './data.js';
import { number } from './format.js';
import { RowList } from './list.js';
import { routeTo } from './route.js';
import { useStore } from './store.js';
import { Ago, Button, Empty, Pill, Text } from './ui.js';

const ROW = 60; // pixels, as in dashboard.css

/** Treats is a list that grows at its top. While somebody reads further down, points at it or has the focus in it, it stands still and counts what is new. */
export function Treats() {
  const { connected, total, loaded } = useStore(feed);
  const [held, setHeld] = useState(/** @type {{total: number, treats: import('./feed.js').Treat[]}|null} */ (null));
  const reasons = useRef(/** @type {Record<string, boolean>} */ ({}));
  const section = useRef(/** @type {any} */ (null));
  const hold = (/** @type {string} */ reason, /** @type {boolean} */ on) => {
    reasons.current[reason] = on;
    if (!Object.values(reasons.current).includes(true)) setHeld(null);
    else setHeld((h) => h ?? { total: feed.ring.total, treats: feed.ring.newestFirst() });
  };
  const left = (/** @type {FocusEvent} */ e) => { // and not only for the next row, which must stay until it has the focus
    if (!(/** @type {Element} */ (e.currentTarget)).contains(/** @type {Node|null} */ (e.relatedTarget))) hold('focus', false);
  };
  const toTop = () => {
    section.current.querySelector('.rows').scrollTop = 0;
    reasons.current = {};
    setHeld(null);
  };
  const count = held ? held.treats.length : feed.ring.length;
  const at = (/** @type {number} */ i) => (held ? held.treats[i] : feed.ring.at(i));
  const fresh = held ? total - held.total : 0;
  const [level, word] = held ? ['idle', 'held'] : connected ? ['good', 'live'] : ['idle', 'connecting'];
  return html`<section class="card treats" aria-labelledby="treats-title" ref=${section}>
    <header><h2 id="treats-title">Treats</h2>
      ${fresh > 0 ? html`<${Button} icon="up" kind="small primary" onClick=${toTop}>${number(fresh)} new</${Button}>` : html`<${Pill} level=${level}>${word}</${Pill}>`}</header>
    <${Announcer} total=${total} loaded=${loaded} />
    ${count === 0 && loaded ? html`<${Empty} icon="now" title="No treats yet">They appear here as soon as somebody sends one.</${Empty}>`
      : html`<div onPointerEnter=${(/** @type {PointerEvent} */ e) => hold('pointer', e.pointerType === 'mouse')} onPointerLeave=${() => hold('pointer', false)}
          onFocusCapture=${() => hold('focus', true)} onBlurCapture=${left}>
        <${RowList} label="Treats, newest first" count=${count} row=${ROW} at=${(/** @type {number} */ i) => html`<${TreatRow} treat=${at(i)} />`}
          keyOf=${(/** @type {number} */ i) => at(i).number} onScrolled=${(/** @type {number} */ pixels) => hold('scroll', pixels > ROW / 2)} /></div>`}
  </section>`;
}

const ANNOUNCE = 5000; // milliseconds from one announcement to the next

/** Announcer tells a screen reader of new treats, at most once in a while. @param {{total: number, loaded: boolean}} props */
function Announcer({ total, loaded }) {
  const [text, setText] = useState('');
  const told = useRef({ total: -1, at: 0, timer: 0 });
  const tell = () => {
    const fresh = feed.ring.total - told.current.total;
    told.current = { total: feed.ring.total, at: Date.now(), timer: 0 };
    if (fresh > 0) setText(newsOf(fresh, feed.ring.at(0)));
  };
  useEffect(() => {
    const t = told.current;
    if (!loaded) return;
    if (t.total < 0) t.total = total; // those from before are no news
    else if (total > t.total && t.timer === 0) t.timer = setTimeout(tell, Math.max(0, t.at + ANNOUNCE - Date.now()));
  }, [total, loaded]);
  useEffect(() => () => clearTimeout(told.current.timer), []);
  return html`<p class="hidden" role="status">${text}</p>`;
}

/** newsOf says how many treats are new, and which one if it is one. @param {number} fresh @param {import('./feed.js').Treat} treat */
function newsOf(fresh, { event: { data } }) {
  return fresh === 1 ? `${data.title ?? 'A treat'} from ${data.sender ?? 'somebody'}` : `${number(fresh)} new treats`;
}

/** TreatRow is one treat. @param {{treat: import('./feed.js').Treat}} props */
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
