// The overlay page. relay decides what is shown and when; this page draws it, and says when it has begun and ended.
// Nothing but alerts and widgets is ever on screen: an error leaves the page empty.

import { Alerts } from './alerts.js';
import { Player } from './audio.js';
import { Link } from './link.js';
import { Memory } from './memory.js';
import { readParameters, merge } from './parameters.js';
import { Counter, Ticker } from './widgets.js';

const name = decodeURIComponent(location.pathname.split('/').pop());
const key = location.hash.slice(1);
const parameters = readParameters(new URLSearchParams(location.search), key === '');

const link = new Link({ base: new URL('../api/v1/overlays/' + encodeURIComponent(name) + '/', location.href), key, parameters });
const player = new Player(link);
const alerts = new Alerts({ link, player, memory: new Memory(name), root: document.getElementById('box') });
const ticker = new Ticker(document.getElementById('ticker'));
const counter = new Counter(document.getElementById('counter'));

function place(element, layout) {
  const middle = layout.y + layout.height / 2;
  element.dataset.align = layout.align;
  element.dataset.valign = middle < 42 ? 'top' : middle > 58 ? 'bottom' : 'center';
  for (const side of ['x', 'y', 'width', 'height']) element.style.setProperty('--' + side, String(layout[side]));
}

function apply(fromServer) {
  const settings = merge(fromServer, parameters);
  const root = document.documentElement;
  root.dataset.theme = settings.theme;
  root.lang = settings.locale;
  // Windows without animations would take them from the stream too, where others watch: OBS has them always.
  root.classList.toggle('reduced', matchMedia('(prefers-reduced-motion: reduce)').matches && !window.obsstudio);
  place(document.getElementById('box'), settings.layout);
  player.set(settings);
  alerts.set(settings);
  const alone = settings.widgets.length === 1;
  for (const [widget, element] of [[ticker, 'ticker'], [counter, 'counter']]) {
    const node = document.getElementById(element);
    node.hidden = !settings.widgets.includes(element);
    node.classList.toggle('alone', alone);
    place(node, settings.layout);
    widget.set(settings);
  }
}

// blank takes everything off the screen. The settings that come with the next connection bring the widgets back.
function blank() {
  alerts.hide();
  for (const widget of ['ticker', 'counter']) document.getElementById(widget).hidden = true;
}

link.on('refused', blank);
link.on('settings', (settings) => {
  apply(settings);
  if (document.visibilityState !== 'visible') tellVisible(false);
});
link.on('show', (m) => alerts.show(m));
link.on('hide', () => alerts.hide());
link.on('recent', (list) => ticker.show(list));
link.on('totals', (totals) => counter.show(totals));

function tellVisible(visible) {
  link.report({ turn: 0, number: 0, id: '', state: visible ? 'visible' : 'hidden' });
}
document.addEventListener('visibilitychange', () => tellVisible(document.visibilityState === 'visible'));
window.addEventListener('obsSourceActiveChanged', (e) => tellVisible(Boolean(e.detail && e.detail.active)));
window.addEventListener('pagehide', () => link.stop());
window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });

link.run();
