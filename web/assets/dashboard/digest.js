// The page of one digest: its treats, and its way to the sink.

import { html } from '../vendor/htm/standalone.mjs';
import { get, lines, part } from './api.js';
import { trace } from './data.js';
import { DigestState, period } from './digests.js';
import { Way } from './event.js';
import { plural } from './format.js';
import { TreatTable } from './history.js';
import { useLoad } from './page.js';
import { routeTo } from './route.js';
import { clock } from './store.js';
import { Button, Empty, Failure, Loading, When } from './ui.js';

/** DigestPage shows a digest by its id. @param {{route: import('./route.js').Route}} props */
export function DigestPage({ route: { argument: id } }) {
  const { data, error, reload } = useLoad(id, async (signal) => {
    const path = 'digests/' + part(id);
    const [digest, treats, found] = await Promise.all([get(path, {}, signal), lines(path + '/treats', {}, { signal }), trace(id, signal)]);
    return { digest, treats, trace: found };
  });
  return html`<div class="heading"><${Button} icon="back" kind="square plain" label="Back" onClick=${() => history.back()} />
    <h1>Digest</h1><p class="dim"><code>${id}</code></p>
      <div class="actions"><${Button} icon="again" onClick=${reload}>Refresh</${Button}></div></div>
    ${error && (error.type === 'unknown-event' ? html`<section class="card">
      <${Empty} icon="digests" title="relay knows nothing of this digest">The journal no longer holds its treats, or its id is another one.</${Empty}>
      </section>` : html`<${Failure} error=${error} retry=${reload} />`)}
    ${!data && !error && html`<${Loading} rows=${4} />`}
    ${data && html`<div class="columns">
      <div class="stack">
        <${Summary} digest=${data.digest} />
        <section class="card" aria-labelledby="treats-title"><header><h2 id="treats-title">Treats in it</h2></header>
          <${TreatTable} items=${data.treats} oneAccount /></section>
      </div>
      <div class="stack">${data.trace && html`<${Way} trace=${data.trace} />`}</div></div>`}`;
}

/** Summary is a digest in short. @param {{digest: import('./types.js').Digest}} props */
function Summary({ digest: d }) {
  return html`<section class="card event-head" aria-label="Summary">
    <p class="who">${plural(d.count, 'treat')} for ${d.account}</p>
    <p class="dim">Sent ${period(d, clock.now())}, found <${When} time=${d.time} /></p>
    <p><strong>${d.sink}</strong> <${DigestState} digest=${d} />${' '}
      <a href=${routeTo('attempts', '', { id: d.id })}>${plural(d.attempts, 'attempt')}</a>
      ${d.dead_letter && html` <a href=${routeTo('deadletters', '', { sink: d.sink })}>Dead letter ${d.dead_letter}</a>`}</p>
    ${d.state !== 'delivered' && d.reason && html`<div class="answer">${d.reason}</div>`}</section>`;
}
