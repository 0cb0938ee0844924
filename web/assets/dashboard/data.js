// What the dashboard knows of relay, for all its views.

import { get, part } from './api.js';
import { Feed } from './feed.js';
import { early, rememberSession } from './first.js';
import { Rates } from './rates.js';
import { clock, Poll, Store } from './store.js';

/** role is who is signed in; null: nobody; undefined: not known yet. @type {Store<import('./types.js').Role|null|undefined>} */
export const role = new Store(/** @type {any} */ (undefined));

/** hasPassword is whether relay has a password to sign in with; undefined: not known. @type {Store<boolean|undefined>} */
export const hasPassword = new Store(/** @type {any} */ (undefined));

/** readRole reads who is signed in. It returns why that is not known, if it is not. @returns {Promise<any>} */
export async function readRole() {
  try {
    role.set((await (early('/session') ?? get('/session'))).role);
  } catch (error) {
    const { status: code, password } = /** @type {import('./api.js').ApiError} */ (error);
    hasPassword.set(code === 401 ? password : true);
    role.set(null);
    if (code !== 401) return error;
  }
}

role.subscribe(() => rememberSession(Boolean(role.value)));

/** rates are how fast each sink delivers. */
export const rates = new Rates();

/** status is how relay is. @type {Poll<import('./types.js').Status>} */
export const status = new Poll(async (signal) => {
  /** @type {import('./types.js').Status} */
  const answer = await (early('status') ?? get('status', {}, signal));
  clock.correct(Date.parse(answer.time));
  rates.add(Date.parse(answer.time), Object.fromEntries(answer.sinks.map((s) => [s.sink, s.delivered])));
  return answer;
}, 2000);

/** series is the last hour. @type {Poll<import('./types.js').Series>} */
export const series = new Poll((signal) => get('series', {}, signal), 10_000);

/** overlays are the overlays, and whether all are stopped. @type {Poll<import('./types.js').Overlays>} */
export const overlays = new Poll((signal) => get('overlays', {}, signal), 2000);

/** feed is the newest treats. */
export const feed = new Feed(() => Boolean(role.value));

/** trace returns what happened to an event, or null if relay knows nothing of it. @param {string} id @param {AbortSignal} [signal] */
export async function trace(id, signal) {
  try {
    return /** @type {import('./types.js').Trace} */ (await get('traces/' + part(id), {}, signal));
  } catch (error) {
    if (/** @type {any} */ (error).type === 'unknown-event') return null;
    throw error;
  }
}

/** deadLetters counts the dead letters of all sinks, also of those that relay does not run with. @param {import('./types.js').Status|undefined} s */
export function deadLetters(s) {
  return [...(s?.sinks ?? []), ...(s?.removed_sinks ?? [])].reduce((sum, sink) => sum + (sink.dead_letters ?? 0), 0);
}
