import assert from 'node:assert/strict';
import test from 'node:test';

import { ago, browserOf, bytes, duration, fullTime, inputTime, localTimes, NONE, number, plural, rate, since } from '../format.js';

const now = Date.parse('2026-11-29T12:00:00Z');
const before = (/** @type {number} */ seconds) => new Date(now - seconds * 1000).toISOString();

test('times are relative to now, in both directions', () => {
  for (const [seconds, want] of [[0, 'now'], [5, '5s ago'], [59, '59s ago'], [60, '1m ago'], [3599, '59m ago'], [7200, '2h ago'], [47 * 3600, '47h ago'],
    [3 * 86_400, '3d ago'], [-30, 'in 30s'], [-90, 'in 1m']]) {
    assert.equal(ago(before(Number(seconds)), now).replaceAll('\u00a0', ' ').replace('min', 'm'), want); // browsers differ in "min"
  }
  assert.equal(since(before(3725), now), '1 h');
});

test('what is not known or no time has a sign of its own', () => {
  for (const got of [number(undefined), number(null), rate(null), duration(undefined), bytes(null), ago('x', now), since('x', now), fullTime('x')]) {
    assert.equal(got, NONE);
  }
});

test('durations, sizes and rates have the unit that fits', () => {
  assert.equal(duration(0), '0 ms');
  assert.equal(duration(0.0002), '<1 ms');
  assert.equal(duration(0.0123), '12 ms');
  assert.equal(duration(61), '1 min');
  assert.equal(duration(100_000), '27 h');
  assert.equal(duration(400_000), '4 d');
  assert.equal(bytes(512), '512 B');
  assert.equal(bytes(2048), '2 KiB');
  assert.equal(rate(0), '0/s');
  assert.equal(rate(0.05), '3/min');
  assert.equal(plural(1, 'treat'), '1 treat');
  assert.equal(plural(2, 'reply', 'replies'), '2 replies');
});

test('timestamps in a text become local times', () => {
  const text = localTimes('down since 2026-11-29T11:59:50Z, and 2026-11-28T11:59:50.123456789+01:00', now);
  assert.doesNotMatch(text, /\dT\d/);
  assert.match(text, /^down since .+, and .+$/);
});

test('an input takes the local time to the minute', () => {
  assert.equal(inputTime(new Date(2026, 0, 5, 7, 9, 30)), '2026-01-05T07:09');
});

test('programs are named', () => {
  assert.equal(browserOf('Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.6533.120 Safari/537.36 OBS/31.0.2'), 'OBS 31.0.2');
  assert.equal(browserOf('Mozilla/5.0 (X11; rv:140.0) Gecko/20100101 Firefox/140.0'), 'Firefox 140');
  assert.equal(browserOf('curl/8.5.0'), 'curl/8.5.0');
  assert.equal(browserOf(''), 'unknown program');
});
