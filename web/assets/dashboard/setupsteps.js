// The steps of the setup.

import { html } from '../vendor/htm/standalone.mjs';
import { Icon } from './icons.js';
import { CopyButton } from './ui.js';
import { markLine } from './yaml.js';

/**
 * @typedef {object} StepProps
 * @property {import('./types.js').Setup} setup
 * @property {import('./types.js').SetupProvider} provider
 * @property {import('./setupform.js').Form} form
 * @property {(form: import('./setupform.js').Form) => void} setForm
 * @property {(field: string) => string} errorOf
 * @property {import('./types.js').SetupResult} [result]
 */

/**
 * Input is a text field with its error.
 * @param {{id: string, label: string, hint?: string, value: string, error: string, onValue: (value: string) => void, type?: string, example?: string}} props
 */
function Input({ id, label, hint, value, error, onValue, type = 'text', example }) {
  const at = 'setup-' + id;
  return html`<div class="field"><label for=${at}>${label}${hint && html` <small>${hint}</small>`}</label>
    <input id=${at} name=${id} type=${type} value=${value} placeholder=${example} autocomplete=${type === 'password' ? 'new-password' : 'off'} spellcheck=${false}
      autocapitalize="none" aria-invalid=${error !== ''} aria-describedby=${error ? at + '-error' : undefined}
      onInput=${(/** @type {any} */ e) => onValue(e.target.value)} />
    ${error && html`<p class="field-error" id=${at + '-error'}>${error}</p>`}</div>`;
}

/** Choice is one of several answers. @param {{type: 'radio'|'checkbox', name: string, value?: string, checked: boolean, title: any, text: string, onPick: (on: boolean) => void, children?: any}} props */
function Choice({ type, name, value, checked, title, text, onPick, children }) {
  return html`<div class="choice ${checked ? 'on' : ''}"><label><input type=${type} name=${name} value=${value} checked=${checked}
      onChange=${(/** @type {any} */ e) => onPick(e.target.checked)} /><span><strong>${title}</strong><span class="dim">${text}</span></span></label>
    ${checked && children}</div>`;
}

/** ProviderStep asks for the provider. @param {StepProps} props */
export function ProviderStep({ setup, form, setForm, errorOf }) {
  return html`<fieldset class="choices"><legend>Where is your account?</legend>
    ${setup.providers.map((p) => html`<${Choice} key=${p.name} type="radio" name="provider" value=${p.name} checked=${form.provider === p.name}
      title=${p.name === 'client-credentials' ? 'Another API' : p.title}
      text=${p.treats ? 'relay receives the treats of your channel.' : 'No treats: relay keeps its tokens fresh, for webhooks and scripts.'}
      onPick=${() => setForm({ ...form, provider: p.name })} />`)}
    ${errorOf('provider') && html`<p class="field-error">${errorOf('provider')}</p>`}</fieldset>`;
}

/** AppStep asks for what identifies relay at the provider. @param {StepProps} props */
export function AppStep({ provider: p, form, setForm, errorOf }) {
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setForm({ ...form, [name]: value });
  const field = (/** @type {string} */ name, /** @type {string} */ label, /** @type {object} */ more = {}) => html`<${Input} id=${name} label=${label}
    value=${/** @type {any} */ (form)[name]} error=${errorOf(name)} onValue=${set(name)} ...${more} />`;
  const page = p.page && html`<a href=${p.page} target="_blank" rel="noopener noreferrer">${new URL(p.page).host}<${Icon} name="link" /></a>`;
  return html`${p.client ? html`<p>relay needs an application of your own at ${p.title}. Its ID and secret stay on this machine.</p>
      <ol class="steps">
        <li>Create an OAuth application${page ? html` at ${p.title}: ${page}` : ` at ${p.title}`}.</li>
        ${p.redirect_url && html`<li>Register this redirect URL with it, exactly as it is here:
          <div class="secret-url"><code>${p.redirect_url}</code><${CopyButton} text=${p.redirect_url} label="Copy the redirect URL" /></div></li>`}
        <li>Copy its client ID and secret into the fields.</li>
      </ol>` : html`<p>${p.title} has personal tokens: create one at ${page}. You paste it in the next minutes, when relay runs.</p>`}
    ${p.client && field('client_id', 'Client ID')}
    ${p.client && field('client_secret', 'Client secret', { type: 'password', hint: p.secret_optional ? 'empty: it has none' : 'it goes into a file that only you can read' })}
    ${p.base_url && field('base_url', 'URL of the API', { example: 'https://api.example.com' })}
    ${field('account', 'Name for the account', { hint: 'for commands and files', example: p.account })}`;
}

const PLACES = [
  ['discord', 'Discord', 'A message in a channel for each treat.', 'https://discord.com/api/webhooks/...', 'In the channel: Settings, Integrations, Webhooks, Copy URL'],
  ['slack', 'Slack', 'A message in a channel for each treat.', 'https://hooks.slack.com/services/...', 'An incoming webhook of your Slack app'],
  ['webhook', 'Webhook', 'A signed request to your bot or service for each treat.', 'https://bot.example/treats', 'It gets a signing secret, in a file'],
  ['nats', 'NATS', 'For overlays and programs of your own that subscribe.', '', ''],
  ['stdout', 'Terminal', 'One line of JSON for each treat, where relay runs.', '', ''],
];

/** TreatsStep asks where treats go. @param {StepProps} props */
export function TreatsStep({ setup, form, setForm, errorOf }) {
  const set = (/** @type {string} */ type, /** @type {object} */ more) => setForm({ ...form, sinks: { ...form.sinks, [type]: { ...form.sinks[type], ...more } } });
  const known = new Map(setup.sinks.map((s) => [s.type, s]));
  return html`<fieldset class="choices"><legend>Choose as many as you like</legend>
    <${Choice} type="checkbox" name="overlay" checked=${form.overlay} onPick=${(/** @type {boolean} */ on) => setForm({ ...form, overlay: on })}
      title=${html`Alerts on stream <span class="tag test">Recommended</span>`} text="A page for OBS that shows each treat, with a picture and a sound." />
    ${PLACES.filter(([type]) => known.has(type)).map(([type, title, text, example, hint]) => html`<${Choice} key=${type} type="checkbox" name=${type}
      checked=${form.sinks[type].on} title=${title} text=${text} onPick=${(/** @type {boolean} */ on) => set(type, { on })}>
      ${known.get(type)?.url && html`<${Input} id=${type + '-url'} label=${title + ' URL'} hint=${hint} type="url" example=${example} value=${form.sinks[type].url}
        error=${errorOf(`sinks.${type}.url`)} onValue=${(/** @type {string} */ url) => set(type, { url })} />`}</${Choice}>`)}
    <div role="alert">${errorOf('sinks') && html`<p class="field-error">${errorOf('sinks')}</p>`}</div></fieldset>`;
}

/** ReviewStep shows the file. @param {StepProps} props */
export function ReviewStep({ result }) {
  if (!result) return null;
  return html`<p>relay writes <code>${result.path}</code>, readable by you only:</p>
    <div class="source" tabindex="0" role="region" aria-label="Text of the configuration"><ol>${result.text.replace(/\n$/, '').split('\n').map((line) => html`<li><span>${
      markLine(line).map((part) => (part.kind === 'plain' ? part.text : html`<span class=${part.kind}>${part.text}</span>`))}</span></li>`)}</ol></div>
    ${result.files.length > 0 && html`<p>The secrets go into ${result.files.length === 1 ? 'a file' : 'files'} beside it:${' '}
      ${result.files.map((name, i) => html`${i > 0 && ', '}<code>${name}</code>`)}.</p>`}`;
}
