// A plot of values over time, by uPlot, which is loaded when the first plot is drawn.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { hourAndMinute, shortTime } from './format.js';

const HEIGHT = 92;

/** @typedef {{label: string, color: string, values: (number|null)[]}} Line */

/** library loads uPlot with its styles. */
function library() {
  if (!document.querySelector('link[data-uplot]')) {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = '/assets/vendor/uplot/uPlot.min.css';
    link.dataset.uplot = '';
    document.head.append(link);
  }
  return import('../vendor/uplot/uPlot.esm.js');
}

/**
 * Plot draws lines. It keeps its place while nothing is known.
 * @param {{title: string, start: number|undefined, step: number|undefined, lines: Line[]|undefined, format: (v: number) => string}} props
 */
export function Plot({ title, start, step, lines, format }) {
  const box = useRef(/** @type {any} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const [legend, setLegend] = useState(/** @type {number|null} */ (null));
  const [, again] = useState({});
  const data = lines && start !== undefined && step !== undefined ? table(start, step, lines) : undefined;
  const known = data !== undefined;
  useEffect(() => {
    const changed = () => {
      plot.current?.destroy();
      plot.current = null;
      again({});
    };
    const media = matchMedia('(prefers-color-scheme: dark)');
    media.addEventListener('change', changed);
    addEventListener('themechange', changed);
    const observer = new ResizeObserver(([entry]) => plot.current?.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT }));
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      media.removeEventListener('change', changed);
      removeEventListener('themechange', changed);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => {
    if (!data) return;
    if (plot.current) {
      plot.current.setData(data);
      return;
    }
    let gone = false;
    library().then(({ default: uPlot }) => {
      if (!gone && box.current && !plot.current) plot.current = new uPlot(options(uPlot, box.current, lines ?? [], format, setLegend), data, box.current);
    }, () => {}); // without the library there is no picture; the figures above say the same
    return () => { gone = true; };
  });
  const at = legend ?? (data ? data[0].length - 1 : 0);
  return html`<figure class="plot">
    <div class="canvas" ref=${box} role="img" aria-label=${known ? summary(title, lines ?? [], format) : `${title}: not known yet`}></div>
    <figcaption>${known ? html`<span class="dim">${legend === null ? 'Last 10 s' : shortTime(data[0][at] * 1000, Date.now())}</span>
      ${(lines ?? []).map((l, i) => html`<span>
      <span class="key" style=${{ background: `var(${l.color})` }}>
        </span>${l.label} <strong>${data[i + 1][at] === null || data[i + 1][at] === undefined ? '–' : format(/** @type {number} */ (data[i + 1][at]))}</strong>
        </span>`)}` : html`<span class="dim">No data yet</span>`}</figcaption></figure>`;
}

/**
 * table is the data in uPlot's form: the times, and the values of each line.
 * @param {number} start
 * @param {number} step
 * @param {Line[]} lines
 * @returns {any[][]}
 */
function table(start, step, lines) {
  const length = Math.max(...lines.map((l) => l.values.length));
  return [Array.from({ length }, (_, i) => start + i * step), ...lines.map((l) => l.values)];
}

/** summary says in words what a plot shows. @param {string} title @param {Line[]} lines @param {(v: number) => string} format */
function summary(title, lines, format) {
  const each = lines.map((l) => {
    const values = /** @type {number[]} */ (l.values.filter((v) => v !== null));
    return values.length === 0 ? `${l.label} not known` : `${l.label} up to ${format(Math.max(...values))}, now ${format(values[values.length - 1])}`;
  });
  return `${title}: ${each.join('; ')}`;
}

/**
 * options are those of uPlot.
 * @param {any} uPlot
 * @param {HTMLElement} box
 * @param {Line[]} lines
 * @param {(v: number) => string} format
 * @param {(i: number|null) => void} onCursor
 */
function options(uPlot, box, lines, format, onCursor) {
  const style = getComputedStyle(box);
  const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const axis = { stroke: color('--muted'), font: `11px ${style.fontFamily}`, ticks: { show: false }, gap: 4 };
  return {
    width: Math.max(100, Math.floor(box.clientWidth)), height: HEIGHT, legend: { show: false }, padding: [6, 4, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, sync: { key: 'sinks' } },
    hooks: { setCursor: [(/** @type {any} */ u) => onCursor(u.cursor.idx ?? null)] },
    scales: { x: { time: true }, y: { range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [0, max > 0 ? max * 1.15 : 1] } },
    axes: [
      { ...axis, size: 18, space: 70, grid: { show: false },
        values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((t) => hourAndMinute(t * 1000)) },
      { ...axis, size: 52, space: 28, grid: { stroke: color('--line'), width: 1 },
        values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((v) => (v === 0 ? '0' : format(v))) },
    ],
    series: [{}, ...lines.map((l, i) => ({
      stroke: color(l.color), width: 1.5, fill: i === 0 ? color('--fill') : undefined, spanGaps: false, points: { show: false }, paths: uPlot.paths.linear(),
    }))],
  };
}
