import assert from 'node:assert/strict';
import test from 'node:test';

import { brief, Ring, visibleRows } from '../rows.js';

test('the rows around the visible part are drawn', () => {
  assert.deepEqual(visibleRows(0, 400, 50, 1000, 2), { first: 0, last: 10 });
  assert.deepEqual(visibleRows(520, 400, 50, 1000, 2), { first: 8, last: 21 });
  assert.deepEqual(visibleRows(49_600, 400, 50, 1000, 2), { first: 990, last: 1000 });
});

test('a list that became shorter than what was scrolled shows its end', () => {
  assert.deepEqual(visibleRows(9000, 400, 50, 10, 0), { first: 2, last: 10 });
  assert.deepEqual(visibleRows(9000, 400, 50, 3, 0), { first: 0, last: 3 });
  assert.deepEqual(visibleRows(0, 400, 50, 0), { first: 0, last: 0 });
});

test('the rows that are drawn do not depend on the length of the list', () => {
  for (const count of [100, 10_000, 1_000_000]) {
    const { first, last } = visibleRows(2000, 600, 56, count);
    assert.ok(last - first <= 24, `${last - first} rows of ${count}`);
  }
});

test('a ring keeps the newest entries', () => {
  const ring = new Ring(3);
  assert.deepEqual(ring.newestFirst(), []);
  for (let n = 1; n <= 7; n++) {
    ring.add(n);
    assert.equal(ring.at(0), n);
    assert.equal(ring.length, Math.min(n, 3));
  }
  assert.deepEqual(ring.newestFirst(), [7, 6, 5]);
  assert.equal(ring.total, 7);
});

test('a row keeps little of a large treat', () => {
  const data = { account: 'mystream', provider: 'treatstream', sender: null, title: 'Tacos', message: ' ' + '🎉'.repeat(500_000), raw: {}, anonymous: true };
  const event = { id: 'trt_1', type: 'treatrelay.treat.v1', time: '2026-07-16T21:00:00Z', origin: 'live', data };
  const kept = brief(event);
  assert.ok(JSON.stringify(kept).length < 1500);
  assert.equal(kept.data.message, '🎉'.repeat(150));
  assert.deepEqual({ ...kept.data, message: '' }, { account: 'mystream', provider: 'treatstream', sender: null, title: 'Tacos', message: '', anonymous: true });
  const small = { ...event, data: { ...data, message: ' Hello ' } };
  assert.equal(brief(small).data.message, ' Hello ');
});
