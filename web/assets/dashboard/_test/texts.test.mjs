import assert from 'node:assert/strict';
import test from 'node:test';

import { advise, brief, isCommand, sentence } from '../advice.js';
import { Rates } from '../rates.js';
import { linkToken, parseRoute, routeTo, routeToEvent } from '../route.js';
import { testEvent, testID } from '../testevent.js';
import { markLine } from '../yaml.js';

test('routes go there and back', () => {
  for (const [view, argument, query] of [['now', '', {}], ['event', 'trt_0/1 é?#', {}], ['history', '', { text: 'a&b=c #d', newest: '5' }]]) {
    assert.deepEqual(parseRoute(routeTo(view, argument, query)), { view, argument, query });
  }
  assert.equal(routeTo('history', '', { text: '', account: undefined }), '#/history');
  assert.equal(routeToEvent('trt_1'), '#/event/trt_1');
  assert.equal(routeToEvent('dig_1'), '#/digest/dig_1');
  assert.deepEqual(parseRoute(''), { view: 'now', argument: '', query: {} });
  assert.equal(parseRoute('#/event/%E0%A4').argument, '');
});

test('only a token is a link', () => {
  assert.equal(linkToken('#link=mY8LBzzI_mCbuzYujauTSjFWsZWcRUzXqW-8VUUsKJw'), 'mY8LBzzI_mCbuzYujauTSjFWsZWcRUzXqW-8VUUsKJw');
  for (const other of ['', '#/now', '#link=', '#link=a b', '#x=mY8LBzzI_mCbuzYujauTSj']) assert.equal(linkToken(other), '');
});

const status = {
  state: 'degraded', version: 'v1', time: '', started: '', journal: { state: 'ok', server: 'files', events_last_minute: 0, waiting: 0 },
  not_ready: [{ part: 'journal', reason: 'the disk is full' }],
  degraded: [
    { part: 'account late', reason: 'it receives nothing until somebody logs in: relay auth login late' },
    { part: 'sink bot', reason: 'it is down since 2026-11-29T16:48:47Z: refused' }, { part: 'sink off', reason: 'it is disabled' },
  ],
  accounts: [{ account: 'late', provider: 'treatstream', connection: 'login_needed', reconnects: 0, token: 'not_logged_in', fix: 'relay auth login late' }],
  sinks: [
    { sink: 'bot', type: 'webhook', state: 'down', in_flight: 0, retries: 0, lag_seconds: 0, delivered: 0, failed_attempts: 0 },
    { sink: 'off', type: 'webhook', state: 'disabled', in_flight: 0, retries: 0, lag_seconds: 0, delivered: 0, failed_attempts: 0 },
  ],
};

test('the worst comes first, with what to do', () => {
  const all = advise(/** @type {any} */ (status), Date.now());
  assert.deepEqual(all.map((a) => [a.level, a.title, a.command]), [
    ['bad', 'The journal has a problem', undefined], ['warn', 'Account late needs a login', 'relay auth login late'], ['warn', 'Sink bot is down', undefined],
    ['warn', 'Sink off is disabled', 'relay sinks enable off'],
  ]);
  assert.equal(all[1].text, 'It receives nothing until somebody logs in.');
  assert.equal(all[1].account, 'late');
  assert.ok(!all[2].text.includes('T16'));
  assert.ok(all[3].disabled);
});

test('reasons become sentences, and names stay', () => {
  assert.equal(sentence('it is down'), 'It is down.');
  assert.equal(sentence('nats: no servers'), 'nats: no servers.');
  assert.equal(sentence(''), '');
});

test('a reason leaves out the event that was on the way', () => {
  assert.equal(brief('post event trt_06H2GDBXW2HDHX9JDQNA7NY0Z8 to http://127.0.0.1:1: refused'), 'http://127.0.0.1:1: refused');
  assert.equal(brief('the event trt_06H2GDBXW2HDHX9JDQNA7NY0Z8 is too large'), 'the event trt_06H2GDBXW2HDHX9JDQNA7NY0Z8 is too large');
});

test('only a command is offered as one', () => {
  assert.ok(isCommand('relay auth login my-stream'));
  for (const other of ['set http.public_url', 'relay dashboard works without it; try it', 'relay `x`']) assert.ok(!isCommand(other), other);
});

test('rates need two samples, and start again with relay', () => {
  const rates = new Rates();
  assert.equal(rates.perSecond('a'), null);
  rates.add(0, { a: 100 });
  assert.equal(rates.perSecond('a'), null);
  rates.add(2000, { a: 140 });
  assert.equal(rates.perSecond('a'), 20);
  for (let at = 4000; at <= 60_000; at += 2000) rates.add(at, { a: 140 });
  assert.equal(rates.perSecond('a'), 0);
  rates.add(62_000, { a: 3 });
  assert.equal(rates.perSecond('a'), null);
});

test('the id of a test sorts by time, and is as long as that of a treat', () => {
  const zero = new Uint8Array(10);
  assert.equal(testID(0, zero), 'tst_' + '0'.repeat(26));
  assert.match(testID(Date.now(), crypto.getRandomValues(new Uint8Array(10))), /^tst_[0-9A-HJKMNP-TV-Z]{26}$/);
  assert.ok(testID(1000, zero.fill(255)) < testID(1001, new Uint8Array(10)));
  // 2026-11-21T21:40:16Z is 06H003C600 in the documented event.
  assert.ok(testID(Date.parse('2026-11-21T21:40:16Z'), new Uint8Array(10)).startsWith('tst_06H003C600'));
});

test('a test treat is as relay trigger makes it', () => {
  const event = testEvent({ account: 'main', provider: 'treatstream', sender: ' ', title: 'Pizza', message: '' }, Date.parse('2026-11-29T01:02:03.456Z'), new Uint8Array(10));
  assert.equal(event.origin, 'test');
  assert.equal(event.time, '2026-11-29T01:02:03Z');
  assert.equal(event.source, '/treatstream/main');
  assert.deepEqual([event.data.sender, event.data.anonymous, event.data.title, event.data.message, event.data.date_created], [null, true, 'Pizza', null, '2026-11-29 01:02:03']);
});

test('marked lines keep every character', () => {
  const kinds = (/** @type {string} */ line) => markLine(line).map((p) => p.kind).join(' ');
  for (const line of ['', '# all comment', '  a: b # c', 'x: "a # b" # c', '  - name: ***', 'secret: ${A}${B}', "it's: don't # stop", 'url: http://a#b', '<script>: x']) {
    assert.equal(markLine(line).map((p) => p.text).join(''), line);
  }
  assert.equal(kinds('  a: b # c'), 'plain key plain comment');
  assert.equal(kinds('x: "a # b"'), 'key plain');
  for (const line of [`'x''y"z: # 007'`, `k: 'x''y: # z'`, `k: "a \\" # b"`, `k: 'a''' # c`]) {
    assert.equal(kinds(line).includes('comment'), line.endsWith('# c'), line);
  }
  assert.equal(kinds('k: ***'), 'key plain secret');
  assert.equal(kinds('k: ${A}'), 'key plain variable');
});
