// What the views of the past share: lists that are read once, and choices of names.

import { useEffect, useState } from '../vendor/htm/standalone.mjs';
import { overlays, status } from './data.js';
import { useStore } from './store.js';

/**
 * useLoad loads when the key changes, and returns what is known and a function that loads again.
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<any>} load
 * @returns {{data: any, error: any, busy: boolean, reload: () => Promise<void>}}
 */
export function useLoad(key, load) {
  const [state, setState] = useState(/** @type {{data?: any, error?: any, busy: boolean}} */ ({ busy: true }));
  /** @param {AbortSignal} signal */
  const run = async (signal) => {
    setState((/** @type {any} */ s) => ({ ...s, busy: true }));
    try {
      const data = await load(signal);
      if (!signal.aborted) setState({ data, busy: false });
    } catch (error) {
      if (!signal.aborted) setState((/** @type {any} */ s) => ({ data: s.data, error, busy: false }));
    }
  };
  useEffect(() => {
    const stop = new AbortController();
    run(stop.signal);
    return () => stop.abort();
  }, [key]);
  return { data: state.data, error: state.error, busy: state.busy, reload: () => run(new AbortController().signal) };
}

/** useNames returns the names of the accounts, the sinks and the overlays. */
export function useNames() {
  const s = useStore(status).data;
  const o = useStore(overlays).data;
  return { accounts: s?.accounts.map((a) => a.account) ?? [], sinks: s?.sinks.map((k) => k.sink) ?? [], overlays: o?.overlays.map((v) => v.name) ?? [] };
}

/** apiTime turns the value of a time input into a time for the API. @param {string|undefined} value */
export function apiTime(value) {
  const date = new Date(value ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
