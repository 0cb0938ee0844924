// What the views of the past share: lists that are read once, and choices of names.

import { useEffect, useRef, useState } from '../vendor/htm/standalone.mjs';
import { overlays, status } from './data.js';
import { useStore } from './store.js';

/**
 * useLoad loads when the key changes, and returns what is known of the key and a function that loads again. While another key is loaded, what is known of
 * the last one stays, and busy is true.
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<any>} load
 * @param {number} [every]  milliseconds after which it loads again by itself, while the page is visible
 * @returns {{data: any, error: any, busy: boolean, reload: () => Promise<void>}}
 */
export function useLoad(key, load, every) {
  const [state, setState] = useState(/** @type {{key?: string, data?: any, error?: any, busy: boolean}} */ ({ busy: true }));
  const latest = useRef(load);
  latest.current = load;
  const turn = useRef(0); // an answer that a later one has passed is from before a change
  /** @param {AbortSignal} signal @param {boolean} [quiet] */
  const run = async (signal, quiet) => {
    const mine = ++turn.current;
    const old = () => signal.aborted || mine !== turn.current;
    if (!quiet) setState((/** @type {any} */ s) => ({ ...s, busy: true }));
    try {
      const data = await latest.current(signal);
      if (!old()) setState({ key, data, busy: false });
    } catch (error) {
      if (!old()) setState((/** @type {any} */ s) => ({ key, data: s.key === key ? s.data : undefined, error, busy: false }));
    }
  };
  useEffect(() => {
    const stop = new AbortController();
    run(stop.signal);
    const timer = every && setInterval(() => { if (!document.hidden) run(stop.signal, true); }, every);
    return () => {
      stop.abort();
      if (timer) clearInterval(timer);
    };
  }, [key]);
  return { data: state.data, error: state.error, busy: state.busy, reload: () => run(new AbortController().signal) };
}

/** useNames returns the names of the accounts, the sinks, those that only dead letters name, and the overlays. */
export function useNames() {
  const s = useStore(status).data;
  const o = useStore(overlays).data;
  return { accounts: s?.accounts.map((a) => a.account) ?? [], sinks: s?.sinks.map((k) => k.sink) ?? [], removed: s?.removed_sinks?.map((k) => k.sink) ?? [], overlays: o?.overlays.map((v) => v.name) ?? [] };
}

/** apiTime turns the value of a time input into a time for the API. @param {string|undefined} value */
export function apiTime(value) {
  const date = new Date(value ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
