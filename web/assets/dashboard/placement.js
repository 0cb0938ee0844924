// The preview of an overlay over a scene, where its box is moved by pointer, keyboard or numbers.

import { html, useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { change, part } from './api.js';
import { overlays } from './data.js';
import { DEFAULT, fit, moved, resized, sameLayout } from './layout.js';
import { Button, say, Select } from './ui.js';

const PAGE_WIDTH = 1920;

/**
 * Placement shows the page of an overlay, and saves where its box is, for the owner.
 * @param {{overlay: import('./types.js').Overlay, role: string, live: boolean, onShow: () => void}} props
 */
export function Placement({ overlay: o, role, live, onShow }) {
  const saved = o.layout ?? DEFAULT;
  const [draft, setDraft] = useState(/** @type {import('./types.js').Layout|null} */ (null));
  const layout = draft ?? saved;
  const changed = draft !== null && !sameLayout(draft, saved);
  const save = async (/** @type {import('./types.js').Layout|null} */ next) => {
    const path = `overlays/${part(o.name)}/layout`;
    await (next ? change('PUT', path, next) : change('DELETE', path));
    await overlays.refresh();
    setDraft(null);
    say(next ? 'Saved, also for the pages that are open' : 'The place is that of relay.yaml again');
  };
  const number = (/** @type {'x'|'y'|'width'|'height'} */ name, /** @type {string} */ label) => html`<label class="field">
    <span>${label} <small>%</small></span>
    <input type="number" min=${name === 'x' || name === 'y' ? 0 : 5} max="100" value=${layout[name]}
      onChange=${(/** @type {any} */ e) => setDraft(fit({ ...layout, [name]: Number(e.target.value) }))} />
      </label>`;
  if (role !== 'owner') return html`<${Scene} name=${o.name} layout=${layout} live=${live} onShow=${onShow} />`;
  return html`<div class="stack"><${Scene} name=${o.name} layout=${layout} live=${live} onShow=${onShow} onMove=${setDraft} />
    <div class="numbers">${number('x', 'Left')}${number('y', 'Top')}${number('width', 'Width')}${number('height', 'Height')}
      <${Select} label="Align" value=${layout.align} options=${[['left', 'Left'], ['center', 'Center'], ['right', 'Right']]}
        onChange=${(/** @type {string} */ align) => setDraft({ ...layout, align })} />
        </div>
    <div class="actions"><${Button} kind=${changed ? 'primary' : ''} disabled=${!changed} onClick=${() => save(layout)}>Save the place</${Button}>
      ${changed && html`<${Button} onClick=${() => setDraft(null)}>Discard</${Button}>`}<${Button} kind="plain" onClick=${() => save(null)}>As in relay.yaml</${Button}>
        </div></div>`;
}

/**
 * Scene is the page over a picture of a stream, while it is live.
 * @param {{name: string, layout: import('./types.js').Layout, live: boolean, onShow: () => void, onMove?: (l: import('./types.js').Layout) => void}} props
 */
function Scene({ name, layout, live, onShow, onMove }) {
  const scene = useRef(/** @type {any} */ (null));
  const frame = useRef(/** @type {any} */ (null));
  useEffect(() => {
    if (!live) return;
    const observer = new ResizeObserver(([entry]) => { if (frame.current) frame.current.style.transform = `scale(${entry.contentRect.width / PAGE_WIDTH})`; });
    observer.observe(scene.current);
    return () => observer.disconnect();
  }, [live]);
  const drag = (/** @type {PointerEvent} */ down, /** @type {typeof moved} */ apply) => {
    if (down.button !== 0 || !onMove) return;
    down.preventDefault();
    down.stopPropagation();
    const target = /** @type {HTMLElement} */ (down.currentTarget);
    target.setPointerCapture(down.pointerId);
    const { width, height } = scene.current.getBoundingClientRect();
    const from = layout;
    target.onpointermove = (move) => onMove(apply(from, (move.clientX - down.clientX) / width * 100, (move.clientY - down.clientY) / height * 100));
    target.onpointerup = target.onpointercancel = () => { target.onpointermove = null; };
  };
  const keys = (/** @type {KeyboardEvent} */ e) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (!step || !onMove) return;
    e.preventDefault();
    onMove((e.shiftKey ? resized : moved)(layout, step[0], step[1]));
  };
  const style = { left: layout.x + '%', top: layout.y + '%', width: layout.width + '%', height: layout.height + '%' };
  const address = '/overlay/' + part(name) + '?preview=1&volume=0&speech=0';
  return html`<div class="scene" ref=${scene}>
    ${live ? html`<iframe ref=${frame} src=${address} title=${`Preview of ${name}`} tabindex="-1"></iframe>`
      : html`<div class="away"><${Button} icon="play" label=${`Show the preview of ${name} here`} onClick=${onShow}>Show here</${Button}></div>`}
    ${onMove && html`<div class="frame-box" tabindex="0" role="group" style=${style} onKeyDown=${keys} onPointerDown=${(/** @type {PointerEvent} */ e) => drag(e, moved)}
      aria-label=${`Box of ${name}: ${layout.x}, ${layout.y}, ${layout.width} by ${layout.height} percent. Arrow keys move it; with Shift they change its size.`}>
      <span class="corner" onPointerDown=${(/** @type {PointerEvent} */ e) => drag(e, resized)}></span></div>`}</div>`;
}
