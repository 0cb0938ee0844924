import assert from 'node:assert/strict';
import test from 'node:test';

import { errorsUpTo, firstForm, firstStep, messageOf, requestOf, stepOf, stepsOf } from '../setupform.js';
import { isFresh, startSteps } from '../startsteps.js';

const setup = /** @type {any} */ ({
  state: 'needed', path: '/relay.yaml', sinks: [{ type: 'stdout', url: false }, { type: 'discord', url: true }],
  providers: [
    { name: 'treatstream', title: 'TreatStream', account: 'mystream', treats: true, client: true, base_url: false },
    { name: 'treesnap', title: 'TreeSnap', account: 'treesnap', treats: false, client: false, base_url: false },
    { name: 'other', title: 'the API', account: 'other', treats: false, client: true, base_url: true },
  ],
});

test('the form begins with the first provider, and an overlay', () => {
  const form = { ...firstForm(setup), client_id: '4711', client_secret: 's' };
  assert.deepEqual(requestOf(setup, form, true), { provider: 'treatstream', account: 'mystream', check: true, client_id: '4711', client_secret: 's', sinks: [], overlay: true });
});

test('only what the provider and the sinks want is sent', () => {
  const form = firstForm(setup);
  form.sinks.discord = { on: true, url: 'https://d' };
  form.sinks.stdout = { on: true, url: 'left over' };
  form.account = ' mine ';
  assert.deepEqual(requestOf(setup, form, false).sinks, [{ type: 'stdout' }, { type: 'discord', url: 'https://d' }]);
  assert.deepEqual(requestOf(setup, { ...form, provider: 'treesnap', client_secret: 's' }, false), { provider: 'treesnap', account: 'mine', check: false });
  assert.deepEqual(Object.keys(requestOf(setup, { ...form, provider: 'other' }, false)), ['provider', 'account', 'check', 'client_id', 'client_secret', 'base_url']);
});

test('errors belong to steps, and those of later steps wait', () => {
  const steps = stepsOf(setup.providers[0]);
  const errors = ['client_id', 'sinks', 'sinks.discord.url', ''].map((field) => ({ field, detail: 'x' }));
  assert.deepEqual(errors.map((e) => stepOf(e.field)), ['app', 'treats', 'treats', 'review']);
  assert.deepEqual(errorsUpTo(errors, steps, 0), []);
  assert.deepEqual(errorsUpTo(errors, steps, 1).map((e) => e.field), ['client_id']);
  assert.equal(errorsUpTo(errors, steps, 2).length, 4);
  assert.equal(errorsUpTo(errors, stepsOf(setup.providers[1]), 1).length, 2);
  assert.equal(firstStep(errors, steps), 1);
  assert.equal(firstStep(errors.slice(3), steps), 3);
});

test('messages are sentences', () => {
  assert.equal(messageOf('is empty'), 'It is empty.');
  assert.equal(messageOf('a name has 1 to 63'), 'A name has 1 to 63.');
  assert.equal(messageOf('did you mean "x"?'), 'Did you mean "x"?');
});

const status = (/** @type {string} */ token, events = 0, delivered = 0) => /** @type {any} */ ({ accounts: [{ account: 'a', token }], journal: { events }, sinks: [{ delivered }] });
const overlays = (/** @type {any[]} */ ...keys) => /** @type {any} */ ({ stopped: false, overlays: [{ name: 'main', keys }] });

test('the first steps are those that are left', () => {
  const done = (/** @type {any} */ s, /** @type {any} */ o) => startSteps(s, o).map((step) => [step.id, step.done]);
  assert.deepEqual(done(status('not_logged_in'), overlays()), [['login', false], ['overlay', false], ['test', false]]);
  assert.deepEqual(done(status('valid', 1), overlays({ id: 'k' })), [['login', true], ['overlay', true], ['test', true]]);
  assert.deepEqual(done(status('valid'), { stopped: false, overlays: [] }), [['login', true], ['test', false]]);
  assert.deepEqual(done(status('valid', 0, 1), { stopped: false, overlays: [] }), [['login', true], ['test', true]]);
  assert.deepEqual(done(status('valid'), { stopped: false, overlays: [{ name: 'main', last_shown: {} }] }), [['login', true], ['overlay', false], ['test', true]]);
});

test('a relay that is in use does not begin again', () => {
  assert.ok(isFresh(status('not_logged_in'), overlays()));
  assert.ok(isFresh(status('valid'), overlays()));
  assert.ok(!isFresh(status('valid', 1), overlays()));
  assert.ok(!isFresh(status('valid'), overlays({ id: 'k' })));
  assert.ok(!isFresh(status('valid'), { stopped: false, overlays: [] }));
});
