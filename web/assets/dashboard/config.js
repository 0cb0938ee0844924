// The view Configuration: relay.yaml as relay understands it, and what is wrong with it.

import { html } from '../vendor/htm/standalone.mjs';
import { get } from './api.js';
import { plural } from './format.js';
import { Icon } from './icons.js';
import { useLoad } from './page.js';
import { Button, CopyButton, Failure, Loading } from './ui.js';
import { markLine } from './yaml.js';

/** Configuration shows the configuration. It is changed in its file. */
export function Configuration() {
  const { data, error, reload } = useLoad('', (signal) => get('config', {}, signal));
  /** @type {import('./types.js').ConfigView|undefined} */
  const view = data;
  const faults = view?.faults ?? [];
  const warnings = view?.warnings ?? [];
  const faulty = view && (faults.length > 0 || view.problem);
  return html`<div class="heading"><h1>Configuration</h1>
    <p class="dim">Change it in its file. A restart of relay takes it over; relay --watch does at once.</p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!view && !error && html`<${Loading} rows=${6} />`}
    ${faulty && html`<div class="notice bad" role="alert"><${Icon} name="warn" />
      <div><p><strong>The file has faults, so relay runs with the configuration that it loaded before.</strong></p>
        ${faults.length === 0 && html`<p>${view.problem}</p>`}</div></div>`}
    ${faults.length > 0 && html`<${Places} id="faults-title" title=${plural(faults.length, 'fault')} all=${faults} />`}
    ${warnings.length > 0 && html`<${Places} id="warnings-title" title=${plural(warnings.length, 'warning')} all=${warnings} />`}
    ${view?.changed && !faulty && html`<div class="notice warn" role="status"><${Icon} name="warn" /><div>
      <p><strong>The file has changed since relay loaded it.</strong> Below is what relay runs with. A restart takes the file over.</p></div></div>`}
    ${view?.restart?.length > 0 && html`<div class="notice warn" role="status"><${Icon} name="warn" /><div>
      <p><strong>relay uses these sections from its next start on:</strong> ${view?.restart?.join(', ')}.</p></div></div>`}
    ${view && warnings.length === 0 && !faulty && html`<section class="card allgood"><${Icon} name="check" /><p><strong>No faults.</strong>
      </p></section>`}
    ${view && html`<section class="card" aria-labelledby="source-title"><header>
      <h2 id="source-title">${view.path ? html`<code>${view.path}</code>` : 'Simulation'}</h2>
      ${view.path && html`<span class="end"><${CopyButton} text=${view.path} label="Copy the path" /></span>`}</header>
      <p class="dim note">${view.changed ? 'What relay runs with, and not the file as it is now' : 'What relay runs with'}: defaults are filled in, and secrets are hidden.</p>
      <div class="source" tabindex="0" role="region" aria-label="Text of the configuration">
        <ol>${view.text.replace(/\n$/, '').split('\n').map((line) => html`<li><span>${
        markLine(line).map((p) => (p.kind === 'plain' ? p.text : html`<span class=${p.kind}>${p.text}</span>`))}</span></li>`)}</ol></div>
          </section>`}`;
}

/**
 * Places lists faults or warnings with their places in the file, which has other lines than the text that is shown.
 * @param {{id: string, title: string, all: import('./types.js').Warning[]}} props
 */
function Places({ id, title, all }) {
  return html`<section class="card" aria-labelledby=${id}><header><h2 id=${id}>${title}</h2></header>
    <ul class="entries">${all.map((w) => html`<li><div><strong><code>${[w.file, w.line, w.column].filter(Boolean).join(':')}</code>${' '}
      ${w.path}</strong><p class="dim">${w.message}</p></div></li>`)}</ul></section>`;
}
