// The sign-in page.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change } from './api.js';
import { hasPassword, readRole } from './data.js';
import { useStore } from './store.js';
import { Command, errorText } from './ui.js';

/** SignIn asks for the password, or says how to get a link. @param {{failure?: any, ended?: boolean}} props */
export function SignIn({ failure, ended }) {
  const [problem, setProblem] = useState(failure ? errorText(failure) : '');
  const [busy, setBusy] = useState(false);
  const input = useRef(/** @type {any} */ (null));
  const password = useStore(hasPassword);
  useEffect(() => {
    document.title = 'relay: sign in';
    if (ended && password === undefined) readRole();
    const shown = () => { if (!document.hidden) readRole(); }; // another page of this browser may have signed in
    document.addEventListener('visibilitychange', shown);
    return () => document.removeEventListener('visibilitychange', shown);
  }, []);
  useEffect(() => { input.current?.focus(); }, [password]);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const entered = input.current.value;
    if (entered === '') return;
    setBusy(true);
    try {
      await change('POST', '/session', { password: entered });
      const unknown = await readRole();
      if (unknown) throw unknown;
    } catch (error) {
      setProblem(errorText(error));
      setBusy(false);
      input.current.select();
      input.current.focus();
    }
  };
  return html`<main class="signin">
    <img src="/assets/dashboard/icon.svg" alt="" width="48" height="48" />
    <h1>Sign in to relay</h1>
    ${ended && !problem && html`<p class="notice warn">The session has ended. Sign in again.</p>`}
    ${problem && html`<p class="notice bad" role="alert">${problem}</p>`}
    ${password !== false && html`<form class="card" onSubmit=${submit}>
      <input class="offscreen" type="text" name="username" autocomplete="username" value="relay" readonly tabindex="-1" aria-hidden="true" />
      <label class="field wide"><span>Password</span>
        <input ref=${input} type="password" name="password" autocomplete="current-password" required aria-invalid=${problem !== ''} /></label>
      <button class="button primary" type="submit" aria-busy=${busy} disabled=${busy}>Sign in</button>
    </form>`}
    <div class="aside">
      <h2>${password === false ? 'relay dashboard' : 'No password?'}</h2>
      <p>On the machine where relay runs, this command opens the dashboard and signs you in:</p>
      <${Command} text="relay dashboard" />
      ${password === false && html`<p class="dim">To sign in from elsewhere, set <code>http.password_file</code> in relay.yaml.</p>`}
    </div>
  </main>`;
}
