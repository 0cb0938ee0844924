// Requests to relay's API.

import { EventParser, LineParser } from './sse.js';

const ROOT = '/api/v1/';
const REQUEST_TIME = 30_000;
const SILENCE = 40_000; // relay sends something every 15 s
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;
const LONGEST_GAP = 120_000;

/** ApiError says why a request failed, and what to do. */
export class ApiError extends Error {
  /** @param {{type?: string, title?: string, status?: number, detail?: string, fix?: string, password?: boolean, errors?: {field: string, detail: string}[]}} problem */
  constructor(problem) {
    super(problem.detail || problem.title || 'relay refused the request');
    this.type = (problem.type ?? '').replace('urn:relay:problem:', '');
    this.status = problem.status ?? 0;
    this.fix = problem.fix ?? '';
    this.errors = problem.errors ?? [];
    this.password = problem.password ?? true;
  }

  /** offline reports whether relay did not answer at all. */
  get offline() { return this.type === 'offline'; }
}

/** @type {() => void} */
let signedOut = () => {};

/** onSignedOut sets what happens when the session has ended. @param {() => void} f */
export function onSignedOut(f) { signedOut = f; }

/** @typedef {Record<string, string|number|boolean|undefined|(string|number)[]>} Query */

/**
 * address returns the URL of a path below the API's root. Parts of a path are to be escaped with [part].
 * @param {string} path
 * @param {Query} [query]
 */
function address(path, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== '') search.append(name, String(one));
    }
  }
  const text = search.toString();
  return (path.startsWith('/') ? path : ROOT + path) + (text === '' ? '' : '?' + text);
}

/** part escapes a name for a path. @param {string|number} name */
export function part(name) { return encodeURIComponent(String(name)); }

/**
 * send sends a request, and returns the answer if it is a success.
 * @param {string} method
 * @param {string} path
 * @param {{query?: Query, body?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} [options]
 */
async function send(method, path, { query, body, signal, headers } = {}) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(address(path, query), {
      method, signal, cache: 'no-store', headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted && signal.reason?.name !== 'TimeoutError') throw error;
    throw new ApiError({ type: 'offline', detail: 'relay does not answer', fix: 'check that it runs, and that this device reaches it' });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const failure = new ApiError({ title: response.statusText, ...problem, status: response.status });
  if (response.status === 401 && path !== '/session') signedOut();
  throw failure;
}

/** limited ends with a signal, or after the time of a request. @param {AbortSignal} [signal] */
function limited(signal) {
  const timeout = AbortSignal.timeout(REQUEST_TIME);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

/**
 * get returns the JSON object at a path.
 * @param {string} path
 * @param {Query} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, query, signal) {
  return (await send('GET', path, { query, signal: limited(signal) })).json();
}

/**
 * change sends a request that changes something, and returns its JSON object if there is one.
 * @param {'POST'|'PUT'|'DELETE'} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function change(method, path, body) {
  const response = await send(method, path, { body, signal: limited() });
  const text = await response.text();
  return text === '' ? undefined : JSON.parse(text);
}

/**
 * lines returns the objects of an answer that has one a line. It fails if the answer is not whole.
 * @param {string} path
 * @param {Query} [query]
 * @param {{method?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<any[]>}
 */
export async function lines(path, query, { method = 'GET', signal } = {}) {
  const response = await send(method, path, { query, signal });
  const items = [];
  const parser = new LineParser();
  for await (const text of texts(response)) {
    for (const item of parser.push(text)) {
      if (item.problem) throw new ApiError(item.problem);
      if (item.end) return items;
      items.push(item);
    }
  }
  throw new ApiError({ type: 'offline', detail: 'the answer of relay was cut off', fix: 'try again' });
}

/** texts yields the body of a response as it arrives. @param {Response} response */
async function* texts(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } catch {
    throw new ApiError({ type: 'offline', detail: 'the connection to relay was lost', fix: 'try again' });
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** pauseFor waits. @param {number} ms */
export const pauseFor = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * follow receives the events that relay journals, with no gap: after a lost connection it goes on where it was. It returns when the signal comes, when
 * the session has ended, or when nothing arrived for so long that reading all that was missed would take longer than beginning again.
 * @param {object} options
 * @param {number} options.after  the number of the last event that is known; negative: begin with what comes from now on
 * @param {(events: {number: number, event: import('./types.js').CloudEvent}[]) => void} options.onEvents
 * @param {(connected: boolean) => void} options.onState
 * @param {AbortSignal} options.signal
 */
export async function follow({ after, onEvents, onState, signal }) {
  let pause = FIRST_PAUSE;
  let heard = Date.now();
  while (!signal.aborted && Date.now() - heard < LONGEST_GAP) {
    const silence = new AbortController();
    let watchdog = setTimeout(() => silence.abort(), SILENCE);
    try {
      /** @type {Record<string, string>} */
      const headers = after >= 0 ? { 'Last-Event-ID': String(after) } : {};
      const response = await send('GET', 'events', { headers, signal: AbortSignal.any([signal, silence.signal]) });
      onState(true);
      const parser = new EventParser();
      for await (const text of texts(response)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => silence.abort(), SILENCE);
        pause = FIRST_PAUSE;
        heard = Date.now();
        const events = [];
        for (const message of parser.push(text)) {
          if (Number(message.id) > 0) after = Number(message.id);
          if (message.event === 'message') events.push({ number: after, event: JSON.parse(message.data) });
        }
        if (events.length > 0) onEvents(events);
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
    } finally {
      clearTimeout(watchdog);
      silence.abort();
    }
    if (signal.aborted) return;
    onState(false);
    await pauseFor(pause / 2 + Math.random() * pause / 2);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}
