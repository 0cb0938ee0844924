// The newest treats, as they come.

import { follow, lines, pauseFor } from './api.js';
import { brief, Ring } from './rows.js';
import { Store } from './store.js';

const CAPACITY = 2000;
const AT_FIRST = 100;
const RETRY = 2000;
const STREAM = 'relay.events'; // the name of the lock and of the channel
const TREAT = 'treatrelay.treat.v1';

/** @typedef {{number: number, event: import('./types.js').CloudEvent}} Treat */

/**
 * News is what the page with the stream tells the others: the treats after the number from, up to the number after.
 * @typedef {{from: number, after: number, treats: Treat[], connected: boolean}} News
 */

/**
 * Feed is the newest treats. Its value changes at most once a frame, however many come. A browser has few connections to a host, so that a page that is
 * hidden has no stream, and of those that are visible one has it and passes on what it receives.
 * @extends {Store<{connected: boolean, total: number, loaded: boolean}>}
 */
export class Feed extends Store {
  /** @type {Ring<Treat>} */
  ring = new Ring(CAPACITY);
  #signedIn;
  /** @type {AbortController|undefined} */
  #stop;
  /** @type {BroadcastChannel|undefined} */
  #channel;
  /** @type {News[]|undefined} what came while treats are loaded */
  #late;
  #after = -1; // negative: no treat was loaded yet
  /** @type {AbortSignal|undefined} of the run that has the stream */
  #receiver;
  #connected = false;
  #loaded = false;
  #frame = 0;

  /** @param {() => boolean} signedIn */
  constructor(signedIn) {
    super({ connected: false, total: 0, loaded: false });
    this.#signedIn = signedIn;
  }

  begin() {
    document.addEventListener('visibilitychange', this.#shown);
    this.#shown();
  }

  end() {
    document.removeEventListener('visibilitychange', this.#shown);
    this.#pause();
  }

  #shown = () => {
    this.#pause();
    if (document.hidden) return;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal).catch(() => {}); // it was stopped
  };

  #pause() {
    this.#stop?.abort();
    this.#channel?.close();
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    const channel = this.#channel = new BroadcastChannel(STREAM);
    channel.onmessage = ({ data }) => {
      if (data !== 'state') this.#hear(data, signal);
      else if (this.#receiver === signal) this.#tell(this.#after, []);
    };
    await this.#load(signal);
    channel.postMessage('state');
    await alone(signal, async () => {
      this.#receiver = signal;
      await this.#follow(signal);
    });
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    while (!signal.aborted && this.#signedIn()) {
      await follow({
        after: this.#after, signal,
        onEvents: (events) => {
          const from = this.#after;
          const treats = events.filter((e) => e.event.type === TREAT).map(({ number, event }) => ({ number, event: brief(event) }));
          this.#add(treats, events[events.length - 1].number);
          this.#tell(from, treats);
        },
        onState: (connected) => {
          this.#connected = connected;
          this.#publish();
          this.#tell(this.#after, []);
        },
      });
      if (!signal.aborted && this.#signedIn()) await this.#load(signal); // nothing came for long
    }
  }

  /** tell tells the other pages. @param {number} from @param {Treat[]} treats */
  #tell(from, treats) {
    if (!this.#stop?.signal.aborted) this.#channel?.postMessage({ from, after: this.#after, treats, connected: this.#connected });
  }

  /** hear takes what the page with the stream tells. @param {News} news @param {AbortSignal} signal */
  #hear(news, signal) {
    if (signal.aborted || this.#receiver === signal) return;
    if (this.#late) {
      this.#late.push(news);
      return;
    }
    this.#connected = news.connected;
    if (news.from > this.#after) this.#load(signal, news).catch(() => {});
    else this.#add(news.treats, news.after);
    this.#publish();
  }

  /** load loads the newest treats, and takes the news that led to it. @param {AbortSignal} signal @param {News} [news] */
  async #load(signal, news) {
    /** @type {News[]} */
    const late = this.#late = [];
    try {
      const newest = await lines('history', { newest: AT_FIRST, type: TREAT }, { signal });
      if (newest.length === AT_FIRST && newest[0].number > this.#after) this.ring.clear(); // treats between are missing
      this.#add(newest.map(({ number, event }) => ({ number, event: brief(event) })), 0); // none: all that come are new
    } catch {
      if (!signal.aborted) await pauseFor(RETRY); // and it goes on with what comes from now on
    }
    if (this.#late === late) this.#late = undefined;
    if (signal.aborted) return;
    if (news) this.#add(news.treats, news.after);
    for (const one of late) this.#hear(one, signal);
    this.#loaded = true;
    this.#publish();
  }

  /** add adds the treats that are not known, and knows all up to a number then. @param {Treat[]} treats @param {number} after */
  #add(treats, after) {
    for (const treat of treats) {
      if (treat.number <= this.#after) continue;
      this.#after = treat.number;
      this.ring.add(treat);
    }
    this.#after = Math.max(this.#after, after);
    this.#publish();
  }

  #publish() {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => { // none comes while the page is hidden
      this.#frame = 0;
      this.set({ connected: this.#connected, total: this.ring.total, loaded: this.#loaded });
    });
  }
}

/**
 * alone calls f while no other page of the dashboard in this browser does. Over http, from another machine, browsers have no locks: each page has a
 * stream there.
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} f
 */
async function alone(signal, f) {
  if (navigator.locks) await navigator.locks.request(STREAM, { signal }, f);
  else await f();
}
