// The connection to relay: a stream of messages, reports, and files. It connects again by itself for ever.

const FIRST_PAUSE = 250; // milliseconds
const LONGEST_PAUSE = 10_000;
const SILENCE = 40_000; // relay sends something every 15 s
const REPORT_TIME = 2_000;
const REFUSED = [401, 403, 404]; // the key is revoked or for other accounts, or the overlay is gone

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// randomID also works on http, where crypto.randomUUID does not.
function randomID() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

export class Link {
  #base; #key; #page = randomID(); #query; #listeners = {}; #connection = null; #stopped = false; #files = new Map();

  constructor({ base, key, parameters }) {
    this.#base = base;
    this.#key = key;
    this.#query = new URLSearchParams({ page: this.#page });
    if (parameters.preview) this.#query.set('preview', '1');
    if (parameters.widgets) this.#query.set('widget', parameters.widgets.join(','));
  }

  on(event, listener) { this.#listeners[event] = listener; }

  stop() {
    this.#stopped = true;
    this.#connection?.abort();
  }

  // run keeps the stream open until stop.
  async run() {
    let pause = FIRST_PAUSE;
    while (!this.#stopped) {
      try {
        await this.#listen(() => { pause = FIRST_PAUSE; });
      } catch {
        // The page shows nothing of it; the dashboard does.
      }
      if (this.#stopped) return;
      await sleep(pause / 2 + Math.random() * pause / 2);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }

  async #listen(alive) {
    const connection = new AbortController();
    this.#connection = connection;
    let watchdog = setTimeout(() => connection.abort(), SILENCE);
    try {
      const response = await this.#fetch('stage?' + this.#query, { signal: connection.signal });
      if (REFUSED.includes(response.status)) this.#listeners.refused?.();
      if (!response.ok) return;
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        alive();
        clearTimeout(watchdog);
        watchdog = setTimeout(() => connection.abort(), SILENCE);
        text += decoder.decode(value, { stream: true });
        const blocks = text.split(/\r?\n\r?\n/);
        text = blocks.pop();
        for (const block of blocks) this.#dispatch(block);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  }

  #dispatch(block) {
    let event = '', data = '';
    for (const line of block.split(/\r?\n/)) {
      if (line.startsWith('event: ')) event = line.slice(7);
      if (line.startsWith('data: ')) data += line.slice(6);
    }
    const listener = this.#listeners[event];
    if (!listener || data === '') return;
    try {
      listener(JSON.parse(data));
    } catch {
      // One message that cannot be drawn does not end the stream.
    }
  }

  // report tells relay about this page. It returns true if relay agrees, and false if not or if relay cannot be reached.
  async report(what) {
    const body = JSON.stringify({ page: this.#page, ...what });
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const response = await this.#fetch('shown', {
          method: 'POST', body, keepalive: true, signal: AbortSignal.timeout(REPORT_TIME), headers: { 'Content-Type': 'application/json' },
        });
        if (response.ok || response.status === 409) return response.ok;
      } catch {
        // It is tried again.
      }
    }
    // relay would wait for this page: a new connection makes it ask again.
    this.#connection?.abort();
    return false;
  }

  // text returns the text of a file of the overlay's folder, or '' if there is none.
  async text(file) {
    try {
      const response = await this.#fetch('files/' + encodeURIComponent(file));
      return response.ok ? await response.text() : '';
    } catch {
      return '';
    }
  }

  // bytes returns the content of a file of the overlay's folder as a Blob, or null.
  async blob(file) {
    try {
      const response = await this.#fetch('files/' + encodeURIComponent(file));
      return response.ok ? await response.blob() : null;
    } catch {
      return null;
    }
  }

  // url returns a URL for a file of the overlay's folder, or null.
  async url(file) {
    if (/[/\\:]/.test(file)) return null; // not a name
    const known = this.#files.get(file);
    if (known) return known;
    const blob = await this.blob(file);
    if (!blob) return null;
    const url = URL.createObjectURL(blob);
    this.#files.set(file, url);
    return url;
  }

  // forget makes files be read again.
  forget() {
    const old = [...this.#files.values()];
    this.#files.clear();
    setTimeout(() => { old.forEach((url) => URL.revokeObjectURL(url)); }, 60_000); // one may be on screen
  }

  #fetch(path, options = {}) {
    const headers = { ...options.headers };
    if (this.#key) headers.Authorization = 'Bearer ' + this.#key;
    return fetch(new URL(path, this.#base), { cache: 'no-store', credentials: this.#key ? 'omit' : 'same-origin', ...options, headers });
  }
}
