// What surrounds every view: navigation, banners, the theme and signing out.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change } from './api.js';
import { deadLetters, feed, overlays, role as roleStore, status } from './data.js';
import { Icon } from './icons.js';
import { Logins } from './login.js';
import { Now } from './now.js';
import { clock, useStore } from './store.js';
import { Button, Failure, Loading, say } from './ui.js';
import { since } from './format.js';

/** @typedef {{id: string, title: string, group: string, load: () => Promise<any>, owner?: boolean}} View */

/** @type {View[]} */
const VIEWS = [
  { id: 'now', title: 'Now', group: 'Live', load: async () => Now },
  { id: 'overlays', title: 'Overlays', group: 'Live', load: async () => (await import('./overlays.js')).Overlays },
  { id: 'history', title: 'History', group: 'Past', load: async () => (await import('./history.js')).History },
  { id: 'test', title: 'Test treat', group: 'Live', owner: true, load: async () => (await import('./test.js')).Test },
  { id: 'deadletters', title: 'Dead letters', group: 'Past', load: async () => (await import('./deadletters.js')).DeadLetters },
  { id: 'attempts', title: 'Attempts', group: 'Past', load: async () => (await import('./attempts.js')).Attempts },
  { id: 'digests', title: 'Digests', group: 'Past', load: async () => (await import('./digests.js')).Digests },
  { id: 'config', title: 'Configuration', group: 'Setup', owner: true, load: async () => (await import('./config.js')).Configuration },
];
const EVENT = { id: 'event', title: 'Event', group: '', load: async () => (await import('./event.js')).EventPage };
const DIGEST = { id: 'digest', title: 'Digest', group: '', load: async () => (await import('./digest.js')).DigestPage };
/** @type {Record<string, {page: View, entry: string}>} */
const PAGES = { event: { page: EVENT, entry: 'history' }, digest: { page: DIGEST, entry: 'digests' } }; // of one thing, below an entry of the navigation
const IN_BAR = 3; // entries of the bar on a phone; the others are behind its last button

/** Shell draws a view and what surrounds it. @param {{route: import('./route.js').Route, role: import('./types.js').Role}} props */
export function Shell({ route, role }) {
  const main = useRef(/** @type {any} */ (null));
  const first = useRef(true);
  const allowed = VIEWS.filter((v) => !v.owner || role === 'owner');
  const known = PAGES[route.view]?.page ?? allowed.find((v) => v.id === route.view);
  const view = known ?? allowed[0];
  useEffect(() => { if (!known) history.replaceState(null, '', '#/' + view.id); }, [known]);
  useVersion();
  useEffect(() => feed.subscribe(() => {}), []); // it goes on while other views are on screen
  useEffect(() => { // the other views are loaded before somebody wants them
    const timer = setTimeout(() => { for (const v of allowed) v.load().catch(() => {}); }, 1500);
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    document.title = `relay: ${view.title}`;
    if (!first.current) {
      scrollTo(0, 0);
      main.current.focus();
    }
    first.current = false;
  }, [view.id, route.argument]);
  const skip = (/** @type {Event} */ e) => {
    e.preventDefault();
    main.current.focus();
  };
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Navigation} views=${allowed} current=${PAGES[view.id]?.entry ?? view.id} role=${role} />
    <div class="page">
      <${Banners} />
      <main id="main" ref=${main} tabindex="-1"><${Loaded} key=${view.id + '/' + route.argument} view=${view} route=${route} role=${role} /></main>
    </div>
    <${Logins} />`;
}

const page = { version: '' }; // of the relay that the scripts are of

/** useVersion loads the page again when relay has another version, as soon as nobody is in the middle of something. */
function useVersion() {
  const { data } = useStore(status);
  useEffect(() => {
    if (!data?.version) return;
    page.version ||= data.version;
    const working = document.querySelector('dialog[open]') ?? document.activeElement?.closest('input, select, textarea');
    if (data.version !== page.version && !working) location.reload();
  }, [data]);
}

/**
 * Loaded draws a view as soon as its script is there.
 * @param {{view: View, route: import('./route.js').Route, role: import('./types.js').Role}} props
 */
function Loaded({ view, route, role }) {
  const [loaded, setLoaded] = useState(/** @type {any} */ (view.id === 'now' ? { view: Now } : {}));
  const load = () => view.load().then((v) => setLoaded({ view: v }), (error) => setLoaded({ error }));
  useEffect(() => { if (!loaded.view) load(); }, []);
  if (loaded.error) return html`<${Failure} error=${loaded.error} retry=${load} />`;
  return loaded.view ? html`<${loaded.view} route=${route} role=${role} />` : html`<${Loading} />`;
}

/** Navigation is a column beside the view, or a bar below it on a phone. @param {{views: View[], current: string, role: string}} props */
function Navigation({ views, current, role }) {
  const [open, setOpen] = useState(false);
  const side = useRef(/** @type {any} */ (null));
  const more = useRef(/** @type {any} */ (null));
  useEffect(() => { if (open) side.current.querySelector('.in-menu a')?.focus(); }, [open]);
  useEffect(() => {
    const close = () => setOpen(false);
    const escape = (/** @type {KeyboardEvent} */ e) => {
      if (e.key !== 'Escape' || !side.current.classList.contains('open')) return;
      close();
      more.current.focus();
    };
    addEventListener('hashchange', close);
    addEventListener('keydown', escape);
    return () => {
      removeEventListener('hashchange', close);
      removeEventListener('keydown', escape);
    };
  }, []);
  const item = (/** @type {View} */ v) => html`<li key=${v.id} class=${views.indexOf(v) < IN_BAR ? 'in-bar' : 'in-menu'}>
    <a href=${'#/' + v.id} aria-current=${v.id === current ? 'page' : undefined}><${Icon} name=${v.id} /><span>${v.title}</span>
      <${Count} view=${v.id} /></a></li>`;
  const groups = ['Live', 'Past', 'Setup'].filter((g) => views.some((v) => v.group === g));
  return html`<header class="side ${open ? 'open' : ''}" ref=${side}>
    <a class="brand" href="#/now"><img src="/assets/dashboard/icon.svg" alt="" width="28" height="28" /><span>relay</span></a>
    <nav aria-label="Views" id="views">${groups.map((g) => html`<section class="group"><h2>${g}</h2>
      <ul>${views.filter((v) => v.group === g).map(item)}</ul></section>`)}</nav>
    <button type="button" class="more" ref=${more} aria-expanded=${open} aria-controls="views" onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? 'close' : 'menu'} /><span>${open ? 'Close' : 'More'}</span></button>
    <div class="foot"><${ThemeSwitch} /><${SignOut} role=${role} /></div>
  </header>`;
}

/** Count shows a number next to an entry that wants attention. @param {{view: string}} props */
function Count({ view }) {
  const { data } = useStore(status);
  if (view !== 'deadletters' && view !== 'now') return null;
  const count = view === 'now' ? (data?.not_ready.length ?? 0) + (data?.degraded.length ?? 0)
    : deadLetters(data);
  if (count === 0) return null;
  return html`<span class="count ${view === 'now' ? 'alarm' : ''}">${count > 999 ? '999+' : count}<span class="hidden"> ${view === 'now' ? 'problems' : 'waiting'}</span>
    </span>`;
}

/** SignOut ends the session. @param {{role: string}} props */
function SignOut({ role }) {
  const out = async () => {
    await change('DELETE', '/session');
    roleStore.set(null);
  };
  return html`<${Button} icon="exit" kind="plain" onClick=${out}>Sign out <small>${role}</small></${Button}>`;
}

/** ThemeSwitch goes from the system's theme to light to dark. */
function ThemeSwitch() {
  const root = document.documentElement;
  const [theme, setTheme] = useState(root.dataset.theme ?? 'auto');
  const next = { auto: 'light', light: 'dark', dark: 'auto' }[theme] ?? 'auto';
  const set = () => {
    if (next === 'auto') delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem('relay.theme', next);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    setTheme(next);
    dispatchEvent(new Event('themechange'));
  };
  const icon = { auto: 'auto', light: 'sun', dark: 'moon' }[theme];
  return html`<${Button} icon=${icon} kind="plain" onClick=${set}>Theme <small>${theme}</small></${Button}>`;
}

/** Banners are shown above every view: no connection, and all alerts stopped. */
function Banners() {
  const { error } = useStore(status);
  const stopped = useStore(overlays).data?.stopped;
  const lost = useRef(0);
  const now = useStore(clock);
  const offline = error?.offline ?? false;
  if (!offline) lost.current = 0;
  else if (lost.current === 0) lost.current = now;
  const start = async () => {
    await change('POST', 'overlays/start');
    await overlays.refresh();
    say('Alerts are shown again');
  };
  return html`<div class="banners" aria-live="polite">
    ${offline && html`<div class="banner warn"><${Icon} name="warn" /><p><strong>No connection to relay</strong>
      <span aria-hidden="true"> for ${since(lost.current, Math.max(now, lost.current + 1000))}</span>.
      What you see may be old; it goes on by itself.</p></div>`}
    ${stopped && html`<div class="banner bad"><${Icon} name="stop" />
      <p><strong>All alerts are stopped.</strong> Treats still arrive and reach the sinks.</p>
      <${Button} icon="play" onClick=${start}>Show alerts again</${Button}></div>`}
  </div>`;
}
