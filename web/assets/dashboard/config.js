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
  const warnings = view?.warnings ?? [];
  const marked = new Set(warnings.filter((w) => w.file === view?.path || !w.file).map((w) => w.line));
  return html`<div class="heading"><h1>Configuration</h1>
    <p class="dim">Change it in its file; relay loads it again on SIGHUP, or by itself with --watch</p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!view && !error && html`<${Loading} rows=${6} />`}
    ${view?.problem && html`<div class="notice bad" role="alert"><${Icon} name="warn" />
      <div><p><strong>The file has a fault, so relay goes on with the configuration it had.</strong></p><p>${view.problem}</p></div></div>`}
    ${view && warnings.length > 0 && html`<section class="card" aria-labelledby="faults-title"><header>
      <h2 id="faults-title">${plural(warnings.length, 'warning')}</h2></header>
      <ul class="entries">${warnings.map((w) => html`<${Warning} warning=${w} />`)}</ul></section>`}
    ${view && warnings.length === 0 && !view.problem && html`<section class="card allgood"><${Icon} name="check" /><p><strong>No faults.</strong>
      </p></section>`}
    ${view && html`<section class="card" aria-labelledby="source-title"><header><h2 id="source-title"><code>${view.path}</code></h2>
      <span class="end"><${CopyButton} text=${view.path} label="Copy the path" /></span></header>
      <div class="source" tabindex="0" role="region" aria-label="Text of the configuration">
        <ol>${view.text.replace(/\n$/, '').split('\n').map((line, i) => html`<li id=${'line-' + (i + 1)} class=${marked.has(i + 1) ? 'marked' : ''}>
        <span>${
        markLine(line).map((p) => (p.kind === 'plain' ? p.text : html`<span class=${p.kind}>${p.text}</span>`))}</span></li>`)}</ol></div>
          </section>`}`;
}

/** Warning is one warning, with a button that goes to its line. @param {{warning: import('./types.js').Warning}} props */
function Warning({ warning: w }) {
  const show = () => document.getElementById('line-' + w.line)?.scrollIntoView({ block: 'center', behavior: 'smooth' });
  return html`<li class="account"><div><strong>${w.path}</strong><p class="dim">${w.message}</p>
    </div>${w.line > 0 && html`<${Button} kind="small" onClick=${show}>Line ${w.line}</${Button}>`}</li>`;
}
