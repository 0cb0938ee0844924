// The view Overlays: what is on screen, the controls, keys and the place of the box.

import { html, useEffect, useState } from '../vendor/htm/standalone.mjs';
import { change, part } from './api.js';
import { overlays } from './data.js';
import { browserOf, number, plural } from './format.js';
import { Icon } from './icons.js';
import { Keys, NewKey } from './overlaykeys.js';
import { Placement } from './placement.js';
import { preview } from './preview.js';
import { useStore } from './store.js';
import { Ago, Button, Command, confirm, Empty, Failure, Loading, Pill, say, Text } from './ui.js';

/** control does something with an overlay, and shows the result. @param {string} name @param {string} verb @param {unknown} [body] */
async function control(name, verb, body) {
  await change('POST', `overlays/${part(name)}/${verb}`, body);
  await overlays.refresh();
}

/** Overlays lists the overlays. @param {{role: string}} props */
export function Overlays({ role }) {
  const { data, error } = useStore(overlays);
  const [making, setMaking] = useState(false);
  const first = data?.overlays[0]?.name ?? '';
  useStore(preview);
  useEffect(() => { if (first !== '') preview.begins(first); }, [first]);
  const stop = async () => {
    await change('POST', 'overlays/stop');
    await overlays.refresh();
  };
  return html`<div class="heading"><h1>Overlays</h1><p class="dim">What viewers see on stream</p>
      ${data && !data.stopped && data.overlays.length > 0 && html`<div class="actions">
        <${Button} icon="stop" kind="danger" onClick=${stop}>Stop all alerts</${Button}></div>`}</div>
    ${error && !error.offline && html`<${Failure} error=${error} retry=${() => overlays.refresh()} />`}
    ${!data && !error && html`<${Loading} rows=${4} />`}
    ${data?.overlays.length === 0 && html`<section class="card">
      <${Empty} icon="overlays" title="No overlays yet">Add one under overlays in relay.yaml, or make one
        ${role === 'owner' ? html`here:<br /><${Button} kind="primary" onClick=${() => setMaking(true)}>Make the overlay main</${Button}>`
          : html`with this command:<br /><${Command} text="relay overlay new main" />`}</${Empty}></section>`}
    ${making && html`<${NewKey} name="main" onClose=${() => setMaking(false)} />`}
    ${data?.overlays.map((o) => html`<${Overlay} key=${o.name} overlay=${o} role=${role} />`)}`;
}

/** stateOf says how an overlay is. @param {import('./types.js').Overlay} o @returns {['good'|'warn'|'bad'|'idle', string]} */
function stateOf(o) {
  const open = o.pages.filter((p) => !p.preview).length;
  if (o.stopped) return ['bad', 'Stopped'];
  if (o.paused) return ['warn', 'Paused'];
  return open > 0 ? ['good', 'Open in ' + plural(open, 'page')] : ['idle', 'Not open'];
}

/** Overlay is one overlay. @param {{overlay: import('./types.js').Overlay, role: string}} props */
function Overlay({ overlay: o, role }) {
  const live = useStore(preview) === o.name;
  const [placing, setPlacing] = useState(live);
  useEffect(() => { if (live) setPlacing(true); }, [live]);
  const show = () => preview.show(o.name);
  const hide = () => {
    setPlacing(false);
    if (live) preview.show('');
  };
  const [level, word] = stateOf(o);
  const clear = async () => {
    if (await confirm(`Clear ${o.name}?`, `${o.waiting_more ? 'More than ' : ''}${plural(o.waiting, 'waiting alert')} will not be shown, and the ticker becomes empty. The treats stay in the history.`, 'Clear')) await control(o.name, 'clear');
  };
  const test = async () => {
    await control(o.name, 'test', { sender: 'Captain Crumb', title: 'Pizza Margherita', message: 'Only a test.' });
    say(`A test alert is on its way to ${o.name}`);
  };
  return html`<section class="card" aria-labelledby=${'overlay-' + o.name}>
    <header><h2 id=${'overlay-' + o.name}>${o.name}</h2>${o.muted && html`<span class="tag backfill">muted</span>`}<${Pill} level=${level}>${word}</${Pill}>
      </header>
    <div class="overlay-body"><div>
      <${OnScreen} overlay=${o} />
      <div class="controls" role="group" aria-label=${`Controls of ${o.name}`}>
        <${Button} icon=${o.paused ? 'play' : 'pause'} pressed=${o.paused} onClick=${() => control(o.name, o.paused ? 'resume' : 'pause')}>${o.paused ? 'Resume' : 'Pause'}</${Button}>
        <${Button} icon="skip" onClick=${() => control(o.name, 'skip')}>Skip</${Button}>
        <${Button} icon=${o.muted ? 'sound' : 'mute'} pressed=${o.muted} onClick=${() => control(o.name, o.muted ? 'unmute' : 'mute')}>${o.muted ? 'Unmute' : 'Mute'}</${Button}>
        <${Button} icon="trash" onClick=${clear}>Clear</${Button}>
        <${Button} icon="test" onClick=${test}>Test</${Button}>
      </div>
      <dl class="facts"><div><dt>Waiting</dt><dd>${o.waiting_more ? 'more than ' : ''}${number(o.waiting)}</dd></div><div><dt>Too old to show</dt><dd>${number(o.skipped_old)}</dd></div>
        ${o.totals && html`<div><dt>Today</dt><dd>${number(o.totals.today)}</dd></div><div><dt>This month</dt><dd>${number(o.totals.month)}</dd>
          </div>`}</dl>
      <${Pages} overlay=${o} />
      <${Keys} overlay=${o} role=${role} />
    </div><div><section class="part"><header><h3>Preview</h3>
      <${Button} kind="small plain" label=${`${placing ? 'Hide' : 'Show'} the preview of ${o.name}`} onClick=${placing ? hide : show}>${placing ? 'Hide' : 'Show'}</${Button}></header>
      ${placing && html`<${Placement} key=${o.name} overlay=${o} role=${role} live=${live} onShow=${show} />`}</section></div></div>
  </section>`;
}

/** OnScreen is the alert that is on screen, or the last one that was. @param {{overlay: import('./types.js').Overlay}} props */
function OnScreen({ overlay: o }) {
  const alert = o.showing ?? o.last_shown?.alert;
  if (!alert) return html`<div class="on-screen"><span class="picture" aria-hidden="true">–</span>
    <p class="dim">Nothing was shown since relay started.</p></div>`;
  const again = async () => {
    await control(o.name, 'again', { number: alert.number });
    say(`${o.name} shows it again`);
  };
  return html`<div class="on-screen ${o.showing ? 'live' : ''}"><span class="picture" aria-hidden="true">${alert.picture}</span>
    <div><small>${o.showing ? 'On screen now' : html`Last shown <${Ago} time=${o.last_shown?.time} />`}</small>
      <p class="line">
        <strong>${alert.sender ? html`<${Text}>${alert.sender}</${Text}>` : 'Anonymous'}</strong> <span class="sep">·</span> <${Text}>${alert.title}</${Text}>
        </p>
      <p class="line dim"><${Text}>${alert.message}</${Text}>${alert.more > 0 && ` and ${plural(alert.more, 'more treat')}`}</p></div>
    ${!o.showing && alert.number > 0 && html`<${Button} icon="again" onClick=${again}>Show again</${Button}>`}</div>`;
}

/** Pages lists where an overlay is open. @param {{overlay: import('./types.js').Overlay}} props */
function Pages({ overlay: o }) {
  return html`<section class="part"><header><h3>Open pages</h3></header>
    ${o.pages.length === 0 ? html`<p class="dim">No page is open. Alerts wait until one is.</p>` : html`<ul class="entries plain">${o.pages.map((p) => html`<li>
      <${Icon} name="overlays" /><span>${browserOf(p.agent)}</span>
      ${p.preview && html`<span class="tag">preview</span>`}<span class="end dim">${p.visible ? 'visible' : 'hidden'}, opened <${Ago} time=${p.since} />
        </span></li>`)}</ul>`}</section>`;
}
