// What is wrong, in words, and what to do about it.

import { localTimes } from './format.js';

/**
 * @typedef {object} Advice
 * @property {string} id
 * @property {'bad'|'warn'} level
 * @property {string} title
 * @property {string} text
 * @property {string} [next]  what relay does about it by itself
 * @property {string} [command]  fixes it in a shell
 * @property {string} [account]  that needs a login
 * @property {string} [sink]  that the problem is about
 * @property {boolean} [disabled]  the sink is disabled
 */

/**
 * advise returns a piece of advice for each problem of a status, the worst first.
 * @param {import('./types.js').Status} status
 * @param {number} now
 * @returns {Advice[]}
 */
export function advise(status, now) {
  return [
    ...status.not_ready.map((trouble) => one(trouble, 'bad', status, now)),
    ...status.degraded.map((trouble) => one(trouble, 'warn', status, now)),
  ];
}

/**
 * @param {import('./types.js').Trouble} trouble
 * @param {'bad'|'warn'} level
 * @param {import('./types.js').Status} status
 * @param {number} now
 * @returns {Advice}
 */
function one(trouble, level, status, now) {
  const [kind, name] = trouble.part.split(' ', 2);
  /** @type {Advice} */
  const advice = { id: trouble.part, level, title: titleOf(trouble.part), text: sentence(localTimes(brief(trouble.reason), now)) };
  if (kind === 'account') {
    const account = status.accounts.find((a) => a.account === name);
    if (account && needsLogin(account)) {
      advice.title = `Account ${name} needs a login`;
      advice.account = name;
    } else {
      advice.title = `Account ${name} has a problem`;
    }
    advice.command = account?.fix;
  } else if (kind === 'sink') {
    const sink = status.sinks.find((s) => s.sink === name);
    advice.sink = name;
    advice.title = `Sink ${name} ${{ down: 'is down', disabled: 'is disabled', failing: 'fails' }[sink?.state ?? ''] ?? 'has a problem'}`;
    if (sink?.state === 'down') advice.next = 'Its events wait in the journal. relay tries again by itself and goes on as soon as it is back.';
    if (sink?.state === 'disabled') {
      advice.disabled = true;
      advice.command = `relay sinks enable ${name}`;
    }
  }
  if (trouble.fix) advice.command = trouble.fix;
  advice.command = advice.command?.replace(/^run: (?=relay )/, '');
  const command = advice.command;
  if (command) { // the button next to the text says it too
    for (const end of [`: ${command}`, `; ${command}`, `: run ${command}`, `; run ${command}`, `; run: ${command}`]) {
      if (advice.text.endsWith(end + '.')) advice.text = advice.text.slice(0, -end.length - 1) + '.';
    }
  }
  return advice;
}

/** needsLogin reports whether an account works again only after a login. @param {import('./types.js').AccountStatus} account */
export function needsLogin(account) {
  return account.connection === 'login_needed' || account.connection === 'none' && ['not_logged_in', 'reauthorize_needed'].includes(account.token);
}

/** @param {string} part */
function titleOf(part) {
  if (part === 'journal') return 'The journal has a problem';
  if (part === 'relay') return 'relay is not ready';
  return part.charAt(0).toUpperCase() + part.slice(1);
}

/** sentence makes a reason of relay a sentence. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const first = /^(?:it|an?|the|no|treats?|they|nothing) /.test(trimmed) ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?]$/.test(first) ? first : first + '.';
}

/** brief leaves out of a reason which event was on the way: what went wrong does not depend on it. @param {string} text */
export function brief(text) {
  return text.replace(/\b(?:post|publish|write|send) event [a-z]{3}_[0-9A-Z]{26} to /, '');
}

/** isCommand reports whether a fix is a command for a shell. @param {string} fix */
export function isCommand(fix) {
  return /^relay(?: [\w./:@=-]+)*$/.test(fix);
}
