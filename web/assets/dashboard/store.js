// Values that change, and the views that follow them.

import { useEffect, useState } from '../vendor/htm/standalone.mjs';

/**
 * Store holds a value, and tells those who subscribed when it changes.
 * @template T
 */
export class Store {
  /** @type {Set<() => void>} */
  #listeners = new Set();
  #value;

  /** @param {T} value */
  constructor(value) { this.#value = value; }

  get value() { return this.#value; }

  /** @param {T} value */
  set(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }

  /** subscribe returns a function that ends the subscription. @param {() => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.begin();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.end();
    };
  }

  get followed() { return this.#listeners.size > 0; }

  /** begin is called when the first listener subscribes. */
  begin() {}

  /** end is called when the last one has left. */
  end() {}
}

/**
 * useStore returns the value of a store, and draws the component again when it changes.
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  const [, draw] = useState({});
  useEffect(() => {
    draw({}); // it may have changed since this component was drawn
    return store.subscribe(() => draw({}));
  }, [store]);
  return store.value;
}

/**
 * Loaded is what a [Poll] knows.
 * @template T
 * @typedef {{data: T|undefined, error: import('./api.js').ApiError|undefined}} Loaded
 */

/**
 * Poll loads a value again and again while somebody follows it, and less often while the page is hidden.
 * @template T
 * @extends {Store<Loaded<T>>}
 */
export class Poll extends Store {
  #load; #every;
  #timer = 0;
  #loaded = 0; // when
  /** @type {AbortController|undefined} */
  #request;

  /**
   * @param {(signal: AbortSignal) => Promise<T>} load
   * @param {number} every  milliseconds
   */
  constructor(load, every) {
    super({ data: undefined, error: undefined });
    this.#load = load;
    this.#every = every;
  }

  begin() {
    document.addEventListener('visibilitychange', this.#shown);
    const age = Date.now() - this.#loaded;
    if (age < this.#every) this.#timer = setTimeout(() => this.refresh(), this.#every - age);
    else this.refresh();
  }

  end() {
    document.removeEventListener('visibilitychange', this.#shown);
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#request = undefined;
  }

  #shown = () => { if (!document.hidden) this.refresh(); };

  /** refresh loads now. A request that is under way is given up, because its answer may be from before a change. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    /** @type {Loaded<T>} */
    let next;
    try {
      next = { data: await this.#load(request.signal), error: undefined };
      this.#loaded = Date.now();
    } catch (error) {
      next = { data: this.value.data, error: /** @type {any} */ (error) };
    }
    if (this.#request !== request) return;
    this.set(next);
    if (this.followed) this.#timer = setTimeout(() => this.refresh(), document.hidden ? this.#every * 5 : this.#every);
  }
}

const SKEW = 2000; // a smaller difference is that of the network

/** Clock is the time of relay, in milliseconds, which ticks once a second while it is on screen. @extends {Store<number>} */
class Clock extends Store {
  #timer = 0;
  #ahead = 0; // of the clock of the browser

  constructor() { super(Date.now()); }

  begin() {
    this.set(this.now());
    this.#timer = setInterval(() => this.set(this.now()), 1000);
  }

  end() { clearInterval(this.#timer); }

  /** now returns the time, also while it is not on screen. */
  now() { return Date.now() + this.#ahead; }

  /** correct tells which time it is at relay. @param {number} time */
  correct(time) {
    const ahead = time - Date.now();
    if (Math.abs(ahead - this.#ahead) > SKEW) this.#ahead = Math.abs(ahead) > SKEW ? ahead : 0;
  }
}

/** clock is the time. */
export const clock = new Clock();
