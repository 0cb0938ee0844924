// The sign-in page.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change, get } from './api.js';
import { role } from './data.js';
import { Command, errorText } from './ui.js';

/** SignIn asks for the password, or says how to get a link. @param {{failure?: any, ended?: boolean}} props */
export function SignIn({ failure, ended }) {
  const [problem, setProblem] = useState(failure ? errorText(failure) : '');
  const [busy, setBusy] = useState(false);
  const input = useRef(/** @type {any} */ (null));
  useEffect(() => {
    document.title = 'relay: sign in';
    input.current.focus();
  }, []);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const password = input.current.value;
    if (password === '') return;
    setBusy(true);
    try {
      await change('POST', '/session', { password });
      role.set((await get('/session')).role);
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
    <form class="card" onSubmit=${submit}>
      <input class="offscreen" type="text" name="username" autocomplete="username" value="relay" readonly tabindex="-1" aria-hidden="true" />
      <label class="field wide"><span>Password</span>
        <input ref=${input} type="password" name="password" autocomplete="current-password" required aria-invalid=${problem !== ''} /></label>
      <button class="button primary" type="submit" aria-busy=${busy} disabled=${busy}>Sign in</button>
    </form>
    <div class="aside">
      <h2>No password?</h2>
      <p>On the machine where relay runs, this command opens the dashboard and signs you in:</p>
      <${Command} text="relay dashboard" />
    </div>
  </main>`;
}
