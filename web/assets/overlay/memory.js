// What this browser has shown, so that a relay that forgot it does not show it again. A second page in the same browser
// shares the memory, so each alert has the turn in which it was shown: both may show it in the same turn.

const LIMIT = 2_000; // relay merges fewer treats

export class Memory {
  #key; #list = [];

  constructor(name) { this.#key = 'relay.overlay.' + name; }

  // known returns those of the treats that were shown in another turn.
  known(ids, turn) {
    const before = new Set(this.#read().filter(([, at]) => at !== turn).map(([shown]) => shown));
    return ids.filter((id) => before.has(id));
  }

  add(ids, turn) {
    const now = new Set(ids);
    const list = this.#read().filter(([shown]) => !now.has(shown));
    list.push(...ids.map((id) => [id, turn]));
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
