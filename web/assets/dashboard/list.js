// A list of any length, of which only the rows on screen are drawn.

import { html, useEffect, useLayoutEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { visibleRows } from './rows.js';

/**
 * RowList draws rows of the same height in a box that scrolls.
 * @param {{label: string, count: number, row: number, at: (index: number) => any, keyOf: (index: number) => any, onScrolled?: (pixels: number) => void}} props
 */
export function RowList({ label, count, row, at, keyOf, onScrolled }) {
  const box = useRef(/** @type {any} */ (null));
  const [view, setView] = useState({ top: 0, height: 600 });
  const read = () => {
    const { scrollTop, clientHeight } = box.current;
    setView((/** @type {any} */ v) => (v.top === scrollTop && v.height === clientHeight ? v : { top: scrollTop, height: clientHeight }));
  };
  useLayoutEffect(read, [count]);
  useEffect(() => {
    const observer = new ResizeObserver(read);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const scrolled = () => {
    read();
    onScrolled?.(box.current.scrollTop);
  };
  const { first, last } = visibleRows(view.top, view.height, row, count);
  const rows = [];
  for (let i = first; i < last; i++) {
    rows.push(html`<li key=${keyOf(i)} aria-setsize=${count} aria-posinset=${i + 1} style=${{ transform: `translateY(${i * row}px)`, height: row + 'px' }}>${at(i)}</li>`);
  }
  return html`<div class="rows" ref=${box} tabindex="0" role="region" aria-label=${label} onScroll=${scrolled}>
    <ol style=${{ height: count * row + 'px' }}>${rows}</ol></div>`;
}
