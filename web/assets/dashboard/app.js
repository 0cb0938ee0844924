// The dashboard: who is signed in, and which view is on screen.

import { html, render, useEffect, useState } from '../vendor/htm/standalone.mjs';
import { change, onSignedOut, pauseFor } from './api.js';
import { readRole, role, status } from './data.js';
import { signedIn } from './first.js';
import { linkToken, parseRoute } from './route.js';
import { Shell } from './shell.js';
import { SignIn } from './signin.js';
import { useStore } from './store.js';
import { fail, Questions, Toasts } from './ui.js';

const FIRST = 500; // milliseconds

/** signIn reads who is signed in. A one-time link in the address is used first, and taken out of the address. */
async function signIn() {
  const link = linkToken(location.hash);
  let failure;
  if (link !== '') {
    history.replaceState(null, '', location.pathname + '#/now');
    try {
      await change('POST', '/session', { link });
    } catch (error) {
      failure = error;
    }
  }
  const unknown = await readRole();
  return failure ?? unknown;
}

/** App draws the sign-in page or the view that the address names. @param {{failure?: any}} props */
function App({ failure }) {
  const who = useStore(role);
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  const [ended, setEnded] = useState(false);
  useEffect(() => {
    const moved = async () => {
      if (linkToken(location.hash) !== '') await signIn();
      setRoute(parseRoute(location.hash));
    };
    addEventListener('hashchange', moved);
    onSignedOut(() => {
      if (role.value) setEnded(true);
      role.set(null);
    });
    return () => removeEventListener('hashchange', moved);
  }, []);
  return html`${who ? html`<${Main} route=${route} role=${who} />` : html`<${SignIn} failure=${failure} ended=${ended} />`}
    <${Questions} /><${Toasts} />`;
}

/** Main draws the view, or the setup while there is no configuration. @param {{route: import('./route.js').Route, role: import('./types.js').Role}} props */
function Main({ route, role: who }) {
  const state = useStore(status).data?.state;
  const [view, setView] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (state === 'setup') import('./setup.js').then((m) => setView({ Setup: m.Setup }), fail);
  }, [state === 'setup']);
  if (state !== 'setup') return html`<${Shell} route=${route} role=${who} />`;
  return view && html`<${view.Setup} />`;
}

// The first picture waits a moment for what it shows, so that nothing moves when that arrives.
const first = signedIn ? status.refresh() : undefined;
const failure = await signIn();
if (role.value) await Promise.race([first ?? status.refresh(), pauseFor(FIRST)]);
render(html`<${App} failure=${failure} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
