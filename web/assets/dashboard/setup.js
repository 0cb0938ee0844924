// The setup: the first relay.yaml, step by step.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change, get } from './api.js';
import { status } from './data.js';
import { Icon } from './icons.js';
import { useLoad } from './page.js';
import { errorsUpTo, firstForm, firstStep, messageOf, providerOf, requestOf, stepOf, stepsOf, TITLES } from './setupform.js';
import { AppStep, ProviderStep, ReviewStep, TreatsStep } from './setupsteps.js';
import { useStore } from './store.js';
import { Button, Failure, Loading } from './ui.js';

const PATIENCE = 20_000;
const PARTS = { provider: ProviderStep, app: AppStep, treats: TreatsStep, review: ReviewStep };

/** Setup leads through the first configuration. */
export function Setup() {
  const { data, error, reload } = useLoad('', (signal) => get('setup', {}, signal));
  const [written, setWritten] = useState('');
  useEffect(() => { document.title = 'relay: setup'; }, []);
  return html`<main class="setup">
    <header><img src="/assets/dashboard/icon.svg" alt="" width="40" height="40" /><div><h1>Set up relay</h1>
      <p class="dim">A few answers, and relay writes its configuration. You can change everything later in the file.</p></div></header>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && !error && html`<section class="card"><${Loading} rows=${4} /></section>`}
    ${written ? html`<${Starting} path=${written} />` : data?.state === 'needed' && html`<${Steps} setup=${data} onWritten=${setWritten} />`}
  </main>`;
}

/** Steps asks the questions. @param {{setup: import('./types.js').Setup, onWritten: (path: string) => void}} props */
function Steps({ setup, onWritten }) {
  const [form, setForm] = useState(() => firstForm(setup));
  const [step, setStep] = useState(0);
  const [errors, setErrors] = useState(/** @type {import('./setupform.js').FieldError[]} */ ([]));
  const [failure, setFailure] = useState(/** @type {any} */ (undefined));
  const [result, setResult] = useState(/** @type {import('./types.js').SetupResult|undefined} */ (undefined));
  const [busy, setBusy] = useState(false);
  const card = useRef(/** @type {any} */ (null));
  const provider = providerOf(setup, form);
  const steps = stepsOf(provider);
  const name = steps[step];
  const last = step === steps.length - 1;
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    (card.current.querySelector('[aria-invalid="true"]') ?? card.current.querySelector('h2')).focus();
  }, [step, errors]);

  const go = (/** @type {number} */ to) => {
    setErrors([]);
    setFailure(undefined);
    setStep(to);
  };
  const refuse = (/** @type {any} */ error) => {
    const found = error.errors?.length > 0 ? errorsUpTo(error.errors, steps, step) : undefined;
    if (!found) {
      setFailure(error);
      return;
    }
    if (found.length === 0) { // what is wrong was not asked for yet
      go(step + 1);
      return;
    }
    setFailure(undefined);
    setErrors(found);
    setStep(Math.min(step, firstStep(found, steps)));
  };
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    if (name === 'provider') { // there is nothing to check yet
      go(step + 1);
      return;
    }
    setBusy(true);
    try {
      const answer = await change('POST', 'setup', requestOf(setup, form, !last));
      if (last) {
        onWritten(answer.path);
        await status.refresh();
      } else {
        setResult(answer);
        go(step + 1);
      }
    } catch (error) {
      refuse(error);
    }
    setBusy(false);
  };
  const Part = PARTS[name];
  const errorOf = (/** @type {string} */ field) => errors.filter((e) => e.field === field).map((e) => messageOf(e.detail)).join(' ');
  const other = errors.filter((e) => stepOf(e.field) === 'review');
  return html`<ol class="progress" aria-label="Steps">${steps.map((s, i) => html`<li key=${s} class=${i < step ? 'done' : ''}
      aria-current=${i === step ? 'step' : undefined}><span>${i < step ? html`<${Icon} name="check" />` : i + 1}</span>${TITLES[s]}</li>`)}</ol>
    <form class="card form" ref=${card} onSubmit=${submit} novalidate autocomplete="off" aria-labelledby="setup-step">
      <h2 id="setup-step" tabindex="-1">${TITLES[name]}</h2>
      <${Part} setup=${setup} provider=${provider} form=${form} setForm=${setForm} errorOf=${errorOf} result=${result} />
      <div role="alert">${other.map((e) => html`<p class="notice bad"><${Icon} name="warn" />${messageOf(e.detail)}</p>`)}</div>
      ${failure && html`<${Failure} error=${failure} />`}
      <div class="dialog-foot">${step > 0 && html`<${Button} icon="back" onClick=${() => go(step - 1)}>Back</${Button}>`}
        <button type="submit" class="button primary" aria-busy=${busy} disabled=${busy}>${last ? 'Write the file and start relay' : 'Continue'}</button></div>
    </form>`;
}

/** Starting is shown until relay runs. @param {{path: string}} props */
function Starting({ path }) {
  const { error } = useStore(status);
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), PATIENCE);
    return () => clearTimeout(timer);
  }, []);
  return html`<section class="card form" role="status"><h2>relay starts</h2>
    <p class="notice good"><${Icon} name="check" /><span><code>${path}</code> is written.</span></p>
    ${late && error?.offline ? html`<p class="notice bad"><${Icon} name="warn" /><span>relay has stopped. The terminal in which you ran
      <code> relay dashboard</code> says why.</span></p>`
      : html`<p class="notice idle"><span class="spinner"></span>The dashboard opens by itself in a moment.</p>`}</section>`;
}
