// Parsers for what relay streams: Server-Sent Events, and JSON objects one a line.

/**
 * @typedef {object} Message
 * @property {string} id     the last id that the stream gave, empty if none
 * @property {string} event  the type of the message, "message" if the stream names none
 * @property {string} data
 */

/** EventParser parses a stream of Server-Sent Events, in pieces of any size. */
export class EventParser {
  #rest = '';
  #id = '';
  #event = '';
  /** @type {string[]} */
  #data = [];
  #begun = false;

  /**
   * push returns the messages that a piece of the stream completes.
   * @param {string} piece
   * @returns {Message[]}
   */
  push(piece) {
    let text = this.#rest + piece;
    if (!this.#begun && text !== '') {
      this.#begun = true;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    // A carriage return at the end may be the first half of a line break.
    const held = text.endsWith('\r') ? '\r' : '';
    const lines = (held ? text.slice(0, -1) : text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + held;
    /** @type {Message[]} */
    const messages = [];
    for (const line of lines) {
      if (line === '') this.#dispatch(messages);
      else this.#field(line);
    }
    return messages;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }

  /** @param {Message[]} messages */
  #dispatch(messages) {
    if (this.#data.length > 0) messages.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') });
    this.#data = [];
    this.#event = '';
  }
}

/** LineParser parses JSON objects, one a line, in pieces of any size. */
export class LineParser {
  #rest = '';

  /**
   * push returns the objects that a piece completes. It throws a SyntaxError if a line is not JSON.
   * @param {string} piece
   * @returns {any[]}
   */
  push(piece) {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line));
  }
}
