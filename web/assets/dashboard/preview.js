// Which preview of an overlay is on screen.

import { Store } from './store.js';

/**
 * Preview is the name of the overlay whose preview is on screen; '': none. Each preview has a stream, and a browser has few connections to a host: of all
 * the pages of the dashboard in a browser, the one that was asked last shows one, while it is visible.
 * @extends {Store<string>}
 */
class Preview extends Store {
  /** @type {string|undefined} what somebody asked for; undefined: nobody asked */
  #wanted;
  /** @type {BroadcastChannel|undefined} */
  #channel;

  begin() {
    this.#channel = new BroadcastChannel('relay.preview');
    this.#channel.onmessage = () => this.set('');
    document.addEventListener('visibilitychange', this.#shown);
    if (this.#wanted !== undefined) this.#shown();
  }

  end() {
    document.removeEventListener('visibilitychange', this.#shown);
    this.#channel?.close();
    this.set('');
  }

  /** show shows the preview of an overlay, and no other. @param {string} name */
  show(name) {
    this.#wanted = name;
    this.#shown();
  }

  /** begins shows the preview of an overlay, unless somebody has asked for one or for none. @param {string} name */
  begins(name) { if (this.#wanted === undefined) this.show(name); }

  #shown = () => {
    const name = document.hidden ? '' : this.#wanted ?? '';
    if (name !== '') this.#channel?.postMessage(name);
    this.set(name);
  };
}

/** preview is the one of this page. */
export const preview = new Preview('');
