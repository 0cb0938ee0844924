// What this browser has shown, so that a relay that forgot it does not show it again. A second page in the same browser
// shares the memory, so each alert has the turn in which it was shown: both may show it in the same turn.

const LIMIT = 500;

export class Memory {
  #key; #list = [];

  constructor(name) { this.#key = 'relay.overlay.' + name; }

  // knows reports whether an alert was shown in another turn.
  knows(id, turn) {
    return this.#read().some(([shown, at]) => shown === id && at !== turn);
  }

  add(id, turn) {
    const list = this.#read().filter(([shown]) => shown !== id);
    list.push([id, turn]);
    this.#list = list.slice(-LIMIT);
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#list));
    } catch {
      // Without storage, it lasts as long as the page.
    }
  }

  #read() {
    try {
      const list = JSON.parse(localStorage.getItem(this.#key) ?? '[]');
      if (Array.isArray(list)) this.#list = list.filter(Array.isArray);
    } catch {
      // As above, or another program has written it.
    }
    return this.#list;
  }
}
