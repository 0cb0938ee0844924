// The form above a list. Its filters are in the page's address, so that a search can be kept and shared.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { routeTo } from './route.js';
import { Button, Field, Select } from './ui.js';

/**
 * @typedef {object} Filter
 * @property {string} name  of the parameter
 * @property {string} label
 * @property {'text'|'choice'|'time'} kind
 * @property {string} [hint]
 * @property {string} [any]  what no choice is called
 * @property {(string|[string, string])[]} [options]
 */

/** filterBy goes to a view with other filters. @param {string} view @param {Record<string, string|undefined>} query */
export function filterBy(view, query) { location.hash = routeTo(view, '', query); }

/**
 * Filters draws a form. On a phone the first field is shown, and the others on request. A choice is used at once, a text with the button.
 * @param {{view: string, query: Record<string, string>, fields: Filter[], action: string, shortcuts?: [string, () => Record<string, string>][]}} props
 */
export function Filters({ view, query, fields, action, shortcuts = [] }) {
  const [form, setForm] = useState(query);
  const [open, setOpen] = useState(fields.slice(1).some((f) => query[f.name]));
  const submit = (/** @type {Event} */ e) => {
    e.preventDefault();
    filterBy(view, form);
  };
  /** @param {Filter} f */
  const control = (f) => {
    const value = form[f.name] ?? '';
    if (f.kind === 'choice') {
      return html`<${Select} label=${f.label} value=${value} any=${f.any ?? 'All'} options=${f.options ?? []}
        onChange=${(/** @type {string} */ v) => filterBy(view, { ...form, [f.name]: v })} />`;
    }
    const set = (/** @type {any} */ e) => setForm({ ...form, [f.name]: e.target.value });
    if (f.kind === 'time') return html`<label class="field time"><span>${f.label}</span>
      <input type="datetime-local" value=${value} onInput=${set} /></label>`;
    return html`<${Field} label=${f.label} hint=${f.hint} wide><input type="search" value=${value} onInput=${set} /></${Field}>`;
  };
  return html`<form class="filters ${open ? 'open' : ''}" role="search" onSubmit=${submit}>${fields.map(control)}
    <button type="submit" class="button ${action === 'Search' ? 'primary' : ''}">${action}</button>
    <button type="button" class="button plain phone-only" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? 'Fewer filters' : 'More filters'}</button>
    <div class="actions extra">${shortcuts.map(([text, change]) => html`<${Button} kind="small" onClick=${() => filterBy(view, { ...form, ...change() })}>${text}</${Button}>`)}
      ${Object.keys(query).length > 0 && html`<${Button} kind="small plain" onClick=${() => filterBy(view, {})}>Clear</${Button}>`}</div></form>`;
}

/** timeFields are the two that bound a time. @type {Filter[]} */
export const timeFields = [{ name: 'since', label: 'From', kind: 'time' }, { name: 'until', label: 'To', kind: 'time' }];
