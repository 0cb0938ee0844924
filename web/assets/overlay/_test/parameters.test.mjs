import assert from 'node:assert/strict';
import { test } from 'node:test';
import { merge, readParameters } from '../parameters.js';

const read = (query, preview = false) => readParameters(new URLSearchParams(query), preview);

test('parameters are read', () => {
  assert.deepEqual(read('theme=night&volume=7.5&speech=1&widget=ticker&layout=50,40,40,50,right&preview=1'), {
    preview: true, theme: 'night', volume: 7.5, speech: true, widgets: ['ticker'], layout: { x: 50, y: 40, width: 40, height: 50, align: 'right' },
  });
  assert.deepEqual(read('volume=0&speech=0'), { preview: false, volume: 0, speech: false });
  assert.deepEqual(read('layout=0,0,100,100').layout, { x: 0, y: 0, width: 100, height: 100, align: 'center' });
});

test('blanks do not matter', () => {
  assert.deepEqual(read('widget=alerts, ticker').widgets, ['alerts', 'ticker']);
  assert.deepEqual(read('layout=5, 60, 40, 35, left').layout, { x: 5, y: 60, width: 40, height: 35, align: 'left' });
});

test('what is wrong is ignored', () => {
  for (const query of [
    'volume', 'volume=', 'volume=%20', 'volume=101', 'volume=-1', 'volume=1e1', 'volume=0x10', 'volume=loud', 'volume=Infinity',
    'speech', 'speech=', 'speech=banana', 'speech=False', 'speech=true', 'speech=2', 'speech=01',
    'theme', 'theme=', 'theme=Night', 'theme=constructor', 'widget', 'widget=', 'widget=,', 'widget=alarms',
    'layout', 'layout=', 'layout=,,,', 'layout=,,10,10', 'layout=5,60,40', 'layout=5,60,0,35', 'layout=-5,60,40,35', 'layout=70,60,40,35',
    'layout=5,60,40,35,middle', 'layout=5,60,40,35,', 'layout=a,b,c,d', 'preview=0', 'preview=yes', 'x=1',
  ]) assert.deepEqual(read(query), { preview: false }, query);
  assert.deepEqual(read('widget=alarms,ticker').widgets, ['ticker']);
});

test('a page without a key is a preview', () => assert.equal(read('', true).preview, true));

test('parameters take the place of settings', () => {
  const settings = { theme: 'pop', volume: 60, speech: true, muted: true };
  assert.deepEqual(merge(settings, read('volume=0&speech=0')), { theme: 'pop', volume: 0, speech: false, muted: true });
});
