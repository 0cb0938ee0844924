// What the dashboard knows of relay, for all its views.

import { follow, get, lines, part, pauseFor } from './api.js';
import { Rates } from './rates.js';
import { Ring } from './rows.js';
import { Poll, Store } from './store.js';

/** role is who is signed in; null: nobody; undefined: not known yet. @type {Store<import('./types.js').Role|null|undefined>} */
export const role = new Store(/** @type {any} */ (undefined));

/** rates are how fast each sink delivers. */
export const rates = new Rates();

/** status is how relay is. @type {Poll<import('./types.js').Status>} */
export const status = new Poll(async (signal) => {
  /** @type {import('./types.js').Status} */
  const answer = await get('status', {}, signal);
  rates.add(Date.parse(answer.time), Object.fromEntries(answer.sinks.map((s) => [s.sink, s.delivered])));
  return answer;
}, 2000);

/** series is the last hour. @type {Poll<import('./types.js').Series>} */
export const series = new Poll((signal) => get('series', {}, signal), 10_000);

/** overlays are the overlays, and whether all are stopped. @type {Poll<import('./types.js').Overlays>} */
export const overlays = new Poll((signal) => get('overlays', {}, signal), 2000);

const CAPACITY = 2000;
const AT_FIRST = 100;
const RETRY = 2000;

/** @typedef {{number: number, event: import('./types.js').CloudEvent}} Treat */

/**
 * Feed is the newest treats. Its value changes at most once a frame, however many come.
 * @extends {Store<{connected: boolean, total: number, loaded: boolean}>}
 */
class Feed extends Store {
  /** @type {Ring<Treat>} */
  ring = new Ring(CAPACITY);
  /** @type {AbortController|undefined} */
  #stop;
  #after = 0;
  #connected = false;
  #loaded = false;
  #frame = 0;

  constructor() { super({ connected: false, total: 0, loaded: false }); }

  begin() {
    this.#stop = new AbortController();
    this.#run(this.#stop.signal).catch(() => {});
  }

  end() { this.#stop?.abort(); }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    while (!signal.aborted && role.value) {
      try {
        const newest = await lines('history', { newest: AT_FIRST, type: 'treatrelay.treat.v1' }, { signal });
        for (const item of newest) {
          if (item.number > this.#after) this.#add({ number: item.number, event: item.event });
        }
      } catch {
        if (signal.aborted) return;
        await pauseFor(RETRY); // and the stream begins with what comes from now on
      }
      this.#loaded = true;
      this.#publish();
      await follow({
        after: this.#after, signal,
        onEvents: (events) => {
          for (const e of events) this.#add(e);
          this.#publish();
        },
        onState: (connected) => {
          this.#connected = connected;
          this.#publish();
        },
      });
    }
  }

  /** @param {Treat} treat */
  #add(treat) {
    this.#after = Math.max(this.#after, treat.number);
    if (treat.event.type === 'treatrelay.treat.v1') this.ring.add(treat);
  }

  #publish() {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => { // none comes while the page is hidden
      this.#frame = 0;
      this.set({ connected: this.#connected, total: this.ring.total, loaded: this.#loaded });
    });
  }
}

/** feed is the newest treats. */
export const feed = new Feed();

/** trace returns what happened to an event, or null if relay knows nothing of it. @param {string} id @param {AbortSignal} [signal] */
export async function trace(id, signal) {
  try {
    return /** @type {import('./types.js').Trace} */ (await get('traces/' + part(id), {}, signal));
  } catch (error) {
    if (/** @type {any} */ (error).type === 'unknown-event') return null;
    throw error;
  }
}
