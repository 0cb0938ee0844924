import assert from 'node:assert/strict';
import test from 'node:test';

import { EventParser, LineParser } from '../sse.js';

const STREAM = '\ufeff: hello\n\nid: 7\nevent: relay.position\ndata: {"number":7}\n\nid: 8\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nid\ndata: x\r\rdata: cut off';
const MESSAGES = [
  { id: '7', event: 'relay.position', data: '{"number":7}' }, { id: '8', event: 'message', data: 'one\ntwo' }, { id: '8', event: 'message', data: '' },
  { id: '', event: 'message', data: 'x' },
];

test('a stream in pieces of any size gives the same messages', () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new EventParser();
    const got = [];
    for (let i = 0; i < STREAM.length; i += size) got.push(...parser.push(STREAM.slice(i, i + size)));
    assert.deepEqual(got, MESSAGES, `pieces of ${size}`);
  }
});

test('a type holds for one message, an id until the next one', () => {
  assert.deepEqual(new EventParser().push('id: 1\nevent: a\ndata: x\n\ndata: y\n\nid: 2\0\ndata: z\n\n'), [
    { id: '1', event: 'a', data: 'x' }, { id: '1', event: 'message', data: 'y' }, { id: '1', event: 'message', data: 'z' },
  ]);
});

test('lines of JSON in pieces', () => {
  const parser = new LineParser();
  assert.deepEqual(parser.push('{"a":1}\n\n{"b"'), [{ a: 1 }]);
  assert.deepEqual(parser.push(':2}\n{"end":true}\n'), [{ b: 2 }, { end: true }]);
  assert.throws(() => parser.push('<html>\n'), SyntaxError);
});
