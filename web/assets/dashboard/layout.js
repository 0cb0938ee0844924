// Where the box of an overlay is, in percent of the page.

/** @typedef {import('./types.js').Layout} Layout */

/** DEFAULT is the place without a setting. @type {Layout} */
export const DEFAULT = { x: 20, y: 6, width: 60, height: 44, align: 'center' };

const SMALLEST = 5;

const between = (/** @type {number} */ n, /** @type {number} */ low, /** @type {number} */ high) => Math.min(high, Math.max(low, Math.round(n) || 0));

/** fit makes a layout one that is on the page. The size goes before the place. @param {Layout} l @returns {Layout} */
export function fit(l) {
  const width = between(l.width, SMALLEST, 100);
  const height = between(l.height, SMALLEST, 100);
  return { x: between(l.x, 0, 100 - width), y: between(l.y, 0, 100 - height), width, height, align: l.align };
}

/** moved moves a layout by percent. @param {Layout} l @param {number} dx @param {number} dy */
export function moved(l, dx, dy) { return fit({ ...l, x: l.x + dx, y: l.y + dy }); }

/** resized makes a layout larger by percent; its upper left corner stays. @param {Layout} l @param {number} dx @param {number} dy */
export function resized(l, dx, dy) {
  return fit({ ...l, width: Math.min(l.width + dx, 100 - l.x), height: Math.min(l.height + dy, 100 - l.y) });
}

/** sameLayout compares two layouts. @param {Layout} a @param {Layout} b */
export function sameLayout(a, b) {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height && a.align === b.align;
}
