// Rates from totals that are read again and again.

const SPAN = 10_000; // milliseconds over which a rate is taken

/** Rates derives how fast each of several totals grows. */
export class Rates {
  /** @type {{at: number, totals: Record<string, number>}[]} */
  #samples = [];

  /**
   * add takes the totals at a time, in milliseconds.
   * @param {number} at
   * @param {Record<string, number>} totals
   */
  add(at, totals) {
    const last = this.#samples.at(-1);
    if (last && (at <= last.at || Object.keys(totals).some((name) => totals[name] < (last.totals[name] ?? 0)))) this.#samples = []; // relay started again
    this.#samples.push({ at, totals });
    while (this.#samples.length > 2 && this.#samples[1].at <= at - SPAN) this.#samples.shift();
  }

  /** perSecond returns the rate of a total, or null if it is not known yet. @param {string} name */
  perSecond(name) {
    const last = this.#samples.at(-1);
    const first = this.#samples.find((s) => s.totals[name] !== undefined);
    if (!last || !first || last === first || last.totals[name] === undefined) return null;
    return (last.totals[name] - first.totals[name]) / ((last.at - first.at) / 1000);
  }
}
