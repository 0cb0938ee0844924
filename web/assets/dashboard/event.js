// The page of one event: its content, its way through relay, and what can be done with it.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { change, lines, part } from './api.js';
import { status, trace } from './data.js';
import { duration, plural } from './format.js';
import { useLoad, useNames } from './page.js';
import { routeTo } from './route.js';
import { Origin } from './treats.js';
import { Button, CopyButton, Empty, Failure, Loading, say, Select, Text, When } from './ui.js';

const EVERY = 3000;

/** EventPage shows an event by its id. @param {{route: import('./route.js').Route, role: string}} props */
export function EventPage({ route: { argument: id }, role }) {
  const { data, error, reload } = useLoad(id, async (signal) => {
    const found = await trace(id, signal);
    const journaled = found?.steps.find((s) => s.event);
    const [item] = journaled || !found ? [] : await lines('history', { id, limit: 1 }, { signal });
    return { trace: found, event: journaled?.event ?? item?.event };
  }, EVERY);
  /** @type {import('./types.js').Trace|null|undefined} */
  const found = data?.trace;
  /** @type {import('./types.js').CloudEvent|undefined} */
  const event = data?.event;
  return html`<div class="heading"><${Button} icon="back" kind="square plain" label="Back" onClick=${() => history.back()} />
    <h1>Event</h1><p class="dim"><code>${id}</code></p></div>
    ${error && !data && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} rows=${4} />`}
    ${data && !found && html`<section class="card">
      <${Empty} icon="history" title="relay knows nothing of this event">The journal does not hold it any more, or its id is another one.</${Empty}>
      </section>`}
    ${found && html`<div class="columns">
      <div class="stack">
        ${event && html`<${Content} event=${event} />`}
        <${Way} trace=${found} />
      </div>
      <div class="stack">
        ${event && html`<${Actions} trace=${found} event=${event} role=${role} onDone=${reload} />`}
        ${event && html`<section class="card" aria-labelledby="json-title"><header><h2 id="json-title">JSON</h2><span class="end">
          <${CopyButton} text=${JSON.stringify(event)} label="Copy the JSON" /></span></header>
          <pre class="json" tabindex="0" role="region" aria-label="Event as JSON">${JSON.stringify(event, null, 2)}</pre></section>`}
      </div></div>`}`;
}

/** Way is the way of an event through relay. @param {{trace: import('./types.js').Trace}} props */
export function Way({ trace: t }) {
  return html`<section class="card" aria-labelledby="way-title"><header><h2 id="way-title">Its way through relay</h2></header>
    <ol class="timeline">${t.steps.map((s, i) => html`<${Step} key=${i} step=${s} />`)}</ol></section>`;
}

/** Content shows what a viewer sent. @param {{event: import('./types.js').CloudEvent}} props */
function Content({ event }) {
  const { sender, title, message, account } = event.data;
  return html`<section class="card event-head">
    <p class="who">${sender ? html`<${Text}>${sender}</${Text}>` : 'Anonymous'}${title && html` <span class="dim">sent</span> <${Text}>${title}</${Text}>`}</p>
    ${message?.trim() && html`<p class="message"><${Text}>${message}</${Text}></p>`}
    <p class="dim">${account} · <${When} time=${event.time} /> <${Origin} origin=${event.origin} /></p></section>`;
}

/** Step is one step of the way of an event. @param {{step: import('./types.js').TraceStep}} props */
function Step({ step: s }) {
  const at = html`<span class="at"><${When} time=${s.time} /></span>`;
  switch (s.step) {
    case 'received': return html`<li>${at}Received</li>`;
    case 'journaled': return html`<li class="good">${at}<strong>In the journal</strong></li>`;
    case 'dead_letter': return html`<li class="bad">${at}<strong>${s.sink}</strong> refused it for good after ${plural(s.attempts ?? 0, 'attempt')}:${' '}
      <a href=${routeTo('deadletters', '', { sink: s.sink })}>dead letter ${s.dead_letter}</a>
      ${s.reason && html`<div class="answer">${s.reason}</div>`}</li>`;
    case 'resent': return html`<li>${at}${s.replay ? 'Replayed' : 'Sent again'} to <strong>${s.sink}</strong></li>`;
  }
  const failed = s.error || (s.status ?? 0) >= 300;
  return html`<li class=${failed ? 'bad' : 'good'}>${at}<strong>${s.sink}</strong> ${failed ? 'did not accept it' : 'accepted it'}
    <span class="dim"> ${s.status ? `status ${s.status}, ` : ''}${duration((s.latency ?? 0) / 1e9)}${(s.batch ?? 1) > 1 ? `, with ${s.batch} events` : ''}</span>
    ${s.endpoint && html`<div class="dim small-text">${s.endpoint}</div>`}
    ${(s.error || s.answer) && html`<div class="answer">${s.error || s.answer}</div>`}</li>`;
}

/**
 * Actions sends the event to a sink or shows it on an overlay again.
 * @param {{trace: import('./types.js').Trace, event: import('./types.js').CloudEvent, role: string, onDone: () => any}} props
 */
function Actions({ trace: t, event, role, onDone }) {
  const names = useNames();
  const [sink, setSink] = useState('');
  const [overlay, setOverlay] = useState('');
  const toSink = sink || names.sinks[0] || '';
  const toOverlay = overlay || names.overlays[0] || '';
  const replay = async () => {
    const run = 'dashboard-' + Date.now().toString(36);
    let sent = 0;
    for (let after = 0, more = true; more;) {
      const answer = await change('POST', 'replay', { sink: toSink, run, ids: [t.id], after });
      sent += answer.sent;
      more = answer.more && answer.done > after;
      after = answer.done;
    }
    if (sent === 0) throw new Error('the journal does not hold the event any more, or the sink does not take it');
    await status.refresh();
    const disabled = status.value.data?.sinks.find((s) => s.sink === toSink)?.state === 'disabled';
    say(disabled ? `${toSink} is disabled: it gets the event when it is enabled` : `On its way to ${toSink}`, disabled ? 'bad' : 'good');
    await onDone();
  };
  const again = async () => {
    await change('POST', `overlays/${part(toOverlay)}/again`, { number: t.number });
    say(`${toOverlay} shows it again`);
  };
  const replayable = role === 'owner' && names.sinks.length > 0 && event.type === 'treatrelay.treat.v1';
  const showable = names.overlays.length > 0 && t.number !== undefined && event.type === 'treatrelay.treat.v1';
  if (!replayable && !showable) return null;
  return html`<section class="card" aria-labelledby="again-title"><header><h2 id="again-title">Send again</h2></header>
    ${replayable && html`<div class="filters"><${Select} label="Sink" value=${toSink} options=${names.sinks} onChange=${setSink} />
      <${Button} icon="again" onClick=${replay}>Replay to the sink</${Button}></div>`}
    ${showable && html`<div class="filters"><${Select} label="Overlay" value=${toOverlay} options=${names.overlays} onChange=${setOverlay} />
      <${Button} icon="overlays" onClick=${again}>Show again</${Button}></div>`}
  </section>`;
}
