import assert from 'node:assert/strict';
import test from 'node:test';

import { DEFAULT, fit, moved, resized, sameLayout } from '../layout.js';

const box = { x: 10, y: 10, width: 30, height: 20, align: 'left' };

test('a box stays on the page', () => {
  assert.deepEqual(moved(box, -50, 200), { ...box, x: 0, y: 80 });
  assert.deepEqual(moved(box, 1.4, 0.6), { ...box, x: 11, y: 11 });
  assert.deepEqual(resized(box, 500, -500), { ...box, width: 90, height: 5 });
  for (const l of [{ x: NaN, y: -3, width: 1000, height: 0, align: 'center' }, { x: 99, y: 99, width: 50, height: 50, align: 'right' }]) {
    const f = fit(l);
    assert.ok(f.x >= 0 && f.y >= 0 && f.width >= 5 && f.height >= 5 && f.x + f.width <= 100 && f.y + f.height <= 100, JSON.stringify(f));
  }
});

test('layouts are compared by all their parts', () => {
  assert.ok(sameLayout(fit(DEFAULT), DEFAULT));
  for (const other of [{ x: 1 }, { y: 1 }, { width: 1 }, { height: 1 }, { align: 'left' }]) assert.ok(!sameLayout({ ...DEFAULT, ...other }, DEFAULT));
});
