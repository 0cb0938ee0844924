// Which rows of a long list are drawn, and a list that forgets its oldest entries.

/**
 * visibleRows returns the range of rows to draw, from first to before last.
 * @param {number} scrolled  pixels above the visible part
 * @param {number} height    pixels of the visible part
 * @param {number} row       pixels of a row
 * @param {number} count     rows of the list
 * @param {number} [spare]   rows to draw above and below the visible part
 * @returns {{first: number, last: number}}
 */
export function visibleRows(scrolled, height, row, count, spare = 6) {
  const top = Math.max(0, Math.min(scrolled, count * row - height));
  const first = Math.max(0, Math.floor(top / row) - spare);
  return { first, last: Math.min(count, Math.ceil((top + height) / row) + spare) };
}

const SHOWN = 300; // characters of a text that a row may need

/**
 * brief returns an event with no more of its texts than a row shows. A treat may have a megabyte, and the list has thousands.
 * @param {import('./types.js').CloudEvent} event
 * @returns {import('./types.js').CloudEvent}
 */
export function brief({ id, type, time, origin, data: { account, provider, sender, title, message, anonymous } }) {
  return { id, type, time, origin, data: { account, provider, sender: start(sender), title: start(title), message: start(message), anonymous } };
}

/** start returns the beginning of a text. @param {string|null|undefined} text */
function start(text) {
  if (!text || text.length <= SHOWN) return text;
  return /** @type {string} */ (JSON.parse(JSON.stringify(text.trimStart().slice(0, SHOWN).toWellFormed()))); // a slice would keep the whole text in memory
}

/**
 * Ring keeps the newest entries of a stream.
 * @template T
 */
export class Ring {
  /** @type {T[]} */
  #entries = [];
  #next = 0; // where the next entry goes, once the ring is full
  #capacity;
  /** total counts all entries that were ever added. */
  total = 0;

  /** @param {number} capacity */
  constructor(capacity) { this.#capacity = capacity; }

  get length() { return this.#entries.length; }

  /** @param {T} entry */
  add(entry) {
    if (this.#entries.length < this.#capacity) {
      this.#entries.push(entry);
    } else {
      this.#entries[this.#next] = entry;
      this.#next = (this.#next + 1) % this.#capacity;
    }
    this.total++;
  }

  /**
   * at returns the entry that was added before age others: 0 is the newest.
   * @param {number} age
   * @returns {T}
   */
  at(age) {
    const count = this.#entries.length;
    return this.#entries[(this.#next + count - 1 - age) % count];
  }

  /** newestFirst returns a copy. */
  newestFirst() { return Array.from({ length: this.length }, (_, age) => this.at(age)); }
}
