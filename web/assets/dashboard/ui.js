// The parts that several views are made of.

import { html, useLayoutEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { isCommand } from './advice.js';
import { ago, fullTime, NONE, shortTime } from './format.js';
import { Icon } from './icons.js';
import { clock, Store, useStore } from './store.js';

/** Ago shows how long ago a time was, or how soon it comes. @param {{time: string|undefined}} props */
export function Ago({ time }) {
  const now = useStore(clock);
  if (!time) return html`<span>${NONE}</span>`;
  return html`<time datetime=${time} title=${fullTime(time)}>${ago(time, now)}</time>`;
}

/** When shows a time of the day, with the date if it is not today. @param {{time: string}} props */
export function When({ time }) {
  return html`<time datetime=${time} title=${fullTime(time)}>${shortTime(time, clock.now())}</time>`;
}

/** Text shows what a viewer wrote: whatever its direction, it does not change the text around it. @param {{children: any}} props */
export function Text({ children }) { return html`<bdi class="viewer">${children}</bdi>`; }

/** Pill shows a state. @param {{level: 'good'|'warn'|'bad'|'idle', children: any}} props */
export function Pill({ level, children }) { return html`<span class="pill ${level}"><span class="dot"></span>${children}</span>`; }

/**
 * Button is a button whose action may take a while, and whose failure becomes a toast.
 * @param {{onClick: () => any, icon?: string, kind?: string, label?: string, disabled?: boolean, pressed?: boolean, children?: any}} props
 */
export function Button({ onClick, icon, kind = '', label, disabled, pressed, children }) {
  const [busy, setBusy] = useState(false);
  const run = async () => {
    if (busy) return;
    setBusy(true);
    try {
      await onClick();
    } catch (error) {
      fail(error);
    }
    setBusy(false);
  };
  return html`<button type="button" class="button ${kind}" aria-label=${label} title=${label} aria-pressed=${pressed} aria-busy=${busy}
    disabled=${disabled} onClick=${run}>${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

/** CopyButton copies a text. @param {{text: string, label?: string, children?: any}} props */
export function CopyButton({ text, label = 'Copy', children }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text);
    setCopied(true);
    say('Copied');
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<${Button} onClick=${copy} icon=${copied ? 'check' : 'copy'} label=${label} kind=${children ? '' : 'square'}>${children}</${Button}>`;
}

/** copyText works without the clipboard's own interface too, which a page over http does not have. @param {string} text */
async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // The browser may refuse it; the older way needs no permission.
    }
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'offscreen';
  const top = document.querySelector('dialog[open]') ?? document.body;
  top.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('the browser does not let relay copy; select the text and copy it yourself');
}

/** Command shows a command with a button that copies it. @param {{text: string}} props */
export function Command({ text }) {
  return html`<span class="command"><code>${text}</code><${CopyButton} text=${text} label="Copy the command" /></span>`;
}

/** Fix shows what to do about a problem. @param {{fix: string}} props */
export function Fix({ fix }) {
  return isCommand(fix) ? html`<${Command} text=${fix} />` : html`<span>${fix.charAt(0).toUpperCase() + fix.slice(1)}.</span>`;
}

/** Failure shows why something could not be loaded. @param {{error: any, retry?: () => any}} props */
export function Failure({ error, retry }) {
  return html`<div class="notice bad" role="alert"><${Icon} name="warn" /><div><p>${errorText(error)}</p>
    ${retry && html`<${Button} onClick=${retry} icon="again">Try again</${Button}>`}</div></div>`;
}

/** errorText is an error as sentences. @param {any} error */
export function errorText(error) {
  const text = String(error?.message ?? error);
  const fix = error?.fix ? ` ${error.fix.charAt(0).toUpperCase()}${error.fix.slice(1)}.` : '';
  return text.charAt(0).toUpperCase() + text.slice(1) + '.' + fix;
}

/** Empty says that there is nothing. @param {{icon: string, title: string, children?: any}} props */
export function Empty({ icon, title, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><p><strong>${title}</strong></p>${children && html`<p>${children}</p>`}</div>`;
}

/** Loading keeps the place of what is being loaded. @param {{rows?: number}} props */
export function Loading({ rows = 3 }) {
  return html`<div class="loading" aria-busy="true"><span class="hidden">Loading</span>${Array.from({ length: rows }, () => html`<div>
    </div>`)}</div>`;
}

/** Field is a labelled control. @param {{label: string, hint?: string, wide?: boolean, children: any}} props */
export function Field({ label, hint, wide, children }) {
  return html`<label class="field ${wide ? 'wide' : ''}"><span>${label}${hint && html` <small>${hint}</small>`}</span>${children}</label>`;
}

/**
 * Select is a field with choices, among them its value.
 * @param {{label: string, value: string, onChange: (value: string) => void, options: (string|[string, string])[], any?: string}} props
 */
export function Select({ label, value, onChange, options, any }) {
  const all = options.map((o) => (typeof o === 'string' ? [o, o] : o));
  if (value !== '' && !all.some(([v]) => v === value)) all.push([value, value]);
  if (any !== undefined) all.unshift(['', any]);
  return html`<${Field} label=${label}><select onChange=${(/** @type {any} */ e) => onChange(e.target.value)}>
    ${all.map(([v, text]) => html`<option value=${v} selected=${v === value}>${text}</option>`)}</select></${Field}>`;
}

/**
 * Dialog is a modal dialog. It is open while it is drawn.
 * @param {{title: string, onClose: () => void, children: any}} props
 */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog.showModal();
    return () => {
      dialog.close(); // and the focus goes back to where it was
      if (document.activeElement === document.body) document.getElementById('main')?.focus({ preventScroll: true }); // unless that has left
    };
  }, []);
  return html`<dialog ref=${ref} aria-labelledby="dialog-title" onCancel=${(/** @type {Event} */ e) => { e.preventDefault(); onClose(); }}>
    <div class="dialog-head"><h2 id="dialog-title">${title}</h2><${Button} icon="close" kind="square plain" label="Close" onClick=${onClose} /></div>
    ${children}
  </dialog>`;
}

/** @typedef {{title: string, text: string, action: string, done: (yes: boolean) => void}} Question */

/** question is what [confirm] asks. @type {Store<Question|null>} */
const question = new Store(/** @type {Question|null} */ (null));

/**
 * confirm asks whether to do something that cannot be undone.
 * @param {string} title
 * @param {string} text
 * @param {string} action
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, action) {
  return new Promise((done) => {
    question.set({ title, text, action, done: (yes) => { question.set(null); done(yes); } });
  });
}

/** Questions draws what [confirm] asks. */
export function Questions() {
  const q = useStore(question);
  if (!q) return null;
  return html`<${Dialog} title=${q.title} onClose=${() => q.done(false)}><p>${q.text}</p><div class="dialog-foot">
    <${Button} onClick=${() => q.done(false)}>Cancel</${Button}><${Button} kind="danger" onClick=${() => q.done(true)}>${q.action}</${Button}>
      </div></${Dialog}>`;
}

/** @typedef {{id: number, level: string, text: string}} Toast */

/** @type {Store<Toast[]>} */
const toasts = new Store(/** @type {Toast[]} */ ([]));
let toastID = 0;

/** say shows a short message for a while. @param {string} text @param {string} [level] */
export function say(text, level = 'good') {
  const id = ++toastID;
  toasts.set([...toasts.value.slice(-2), { id, level, text }]);
  setTimeout(() => toasts.set(toasts.value.filter((t) => t.id !== id)), level === 'bad' ? 10_000 : 3000);
}

/** fail shows why something failed. @param {unknown} error */
export function fail(error) { say(errorText(error), 'bad'); }

/** Toasts draws what [say] says. */
export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${useStore(toasts).map((t) => html`<p key=${t.id} class="toast ${t.level}">
    <${Icon} name=${t.level === 'bad' ? 'warn' : 'check'} />${t.text}</p>`)}</div>`;
}
