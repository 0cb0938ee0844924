// The sinks: how each is, with a plot of the last hour.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { brief } from './advice.js';
import { change, part } from './api.js';
import { Plot } from './plot.js';
import { rates, series, status as statusPoll } from './data.js';
import { duration, localTimes, number, rate } from './format.js';
import { routeTo } from './route.js';
import { clock, useStore } from './store.js';
import { Ago, Button, confirm, Empty, fail, Loading, Pill, say } from './ui.js';

/** @type {Record<string, ['good'|'warn'|'bad'|'idle', string]>} */
const STATES = { ok: ['good', 'OK'], down: ['bad', 'Down'], failing: ['warn', 'Failing'], disabled: ['idle', 'Disabled'] };
const MANY = 8; // with more sinks than that, plots are drawn on request only

/** @type {Record<string, {title: string, lines: {key: string, label: string, color: string, divide?: boolean}[], format: (v: number) => string}>} */
const PLOTS = {
  delivered: {
    title: 'Rate', format: (v) => rate(v),
    lines: [{ key: 'delivered', label: 'delivered', color: '--accent', divide: true }, { key: 'failed', label: 'failed', color: '--bad', divide: true }],
  },
  latency: {
    title: 'Latency', format: (v) => duration(v / 1000),
    lines: [{ key: 'p50_ms', label: 'p50', color: '--accent' }, { key: 'p99_ms', label: 'p99', color: '--warn' }],
  },
  waiting: { title: 'Waiting', format: (v) => number(v), lines: [{ key: 'waiting', label: 'waiting', color: '--warn' }] },
};

/** Sinks lists the sinks. @param {{status: import('./types.js').Status|undefined, role: string}} props */
export function Sinks({ status, role }) {
  const [plot, setPlot] = useState('delivered');
  const { data } = useStore(series);
  return html`<section aria-labelledby="sinks-title" class="sinks"><header class="section"><h2 id="sinks-title">Sinks</h2>
      <div class="segments" role="group" aria-label="Plots of the last hour">${Object.entries(PLOTS).map(([id, p]) => html`<button type="button" key=${id}
        aria-pressed=${plot === id} onClick=${() => setPlot(id)}>${p.title}</button>`)}</div></header>
    ${!status ? html`<${Loading} rows=${4} />` : status.sinks.length === 0 ? html`<${Empty} icon="config" title="No sinks">Add one under sinks in relay.yaml.</${Empty}>`
      : html`<ul class="cards">${status.sinks.map((s) => html`<${Sink} key=${s.sink} sink=${s} role=${role} plot=${plot} series=${data} open=${status.sinks.length <= MANY} />`)}</ul>`}
  </section>`;
}

/**
 * Sink is one sink.
 * @param {{sink: import('./types.js').SinkStatus, role: string, plot: string, series: import('./types.js').Series|undefined, open: boolean}} props
 */
function Sink({ sink: s, role, plot, series: hour, open }) {
  const [drawn, setDrawn] = useState(open);
  const [level, word] = STATES[s.state] ?? ['idle', s.state];
  const waiting = (s.pending ?? 0) + s.in_flight + s.retries;
  return html`<li class="card sink" id=${'sink-' + s.sink}>
    <header><h3>${s.sink}</h3><span class="dim">${s.type}</span>
      <${Pill} level=${level}>${word}</${Pill}>${role === 'owner' && html`<${Switch} sink=${s} />`}</header>
    <dl class="figures">
      <div><dt>Rate</dt><dd>${rate(rates.perSecond(s.sink))}</dd></div>
      <div><dt>p50</dt><dd>${duration(s.latency_p50_seconds)}</dd></div>
      <div><dt>p99</dt><dd>${duration(s.latency_p99_seconds)}</dd></div>
      <div><dt>Waiting</dt><dd class=${waiting > 0 && s.lag_seconds > 30 ? 'warn' : ''}>${number(waiting)}</dd></div>
      <div><dt>Failures</dt><dd><a href=${routeTo('attempts', '', { sink: s.sink, outcome: 'failed' })}>${number(s.failed_attempts)}</a></dd></div>
      <div><dt>Dead</dt>
        <dd class=${s.dead_letters ? 'warn' : ''}><a href=${routeTo('deadletters', '', { sink: s.sink })}>${number(s.dead_letters)}</a></dd></div>
    </dl>
    ${drawn ? html`<${SinkPlot} name=${s.sink} plot=${plot} hour=${hour} />` : html`<${Button} kind="small" onClick=${() => setDrawn(true)}>Show the last hour</${Button}>`}
    ${s.state !== 'ok' && s.reason && html`<div class="reason"><p title=${s.reason}>${localTimes(brief(s.reason), clock.now())}</p></div>`}
    <p class="dim small-text">${s.next_probe && html`Next try <${Ago} time=${s.next_probe} /> · `}Last delivery <${Ago} time=${s.last_delivery} />
      ${s.lag_seconds > 5 && html` · the oldest has waited ${duration(s.lag_seconds)}`}</p>
  </li>`;
}

/** SinkPlot is the last hour of a sink. @param {{name: string, plot: string, hour: import('./types.js').Series|undefined}} props */
function SinkPlot({ name, plot, hour }) {
  const what = PLOTS[plot];
  const own = hour?.sinks[name];
  const lines = own && what.lines.map((l) => {
    /** @type {(number|null)[]} */
    const values = /** @type {any} */ (own)[l.key] ?? [];
    return { label: l.label, color: l.color, values: values.map((v) => (v === null || !l.divide ? v : v / hour.step_seconds)) };
  });
  return html`<${Plot} key=${plot} title=${`${what.title} of ${name} in the last hour`} lines=${lines} format=${what.format}
    start=${hour && Date.parse(hour.start) / 1000} step=${hour?.step_seconds} />`;
}

/** Switch enables or disables a sink. @param {{sink: import('./types.js').SinkStatus}} props */
function Switch({ sink: s }) {
  const on = s.state !== 'disabled';
  const toggle = async () => {
    if (on && !await confirm(`Disable ${s.sink}?`, 'relay sends nothing more to it. Its events stay in the journal and wait until you enable it again.', 'Disable')) return;
    await change('POST', `sinks/${part(s.sink)}/${on ? 'disable' : 'enable'}`, on ? { reason: 'disabled in the dashboard' } : undefined);
    await statusPoll.refresh();
    say(on ? `${s.sink} is disabled` : `${s.sink} is enabled`);
  };
  return html`<button type="button" class="switch" role="switch" aria-checked=${on} aria-label=${`${s.sink} is enabled`} 
    onClick=${() => toggle().catch(fail)}>
    <span></span></button>`;
}
