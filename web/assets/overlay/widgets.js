// The widgets beside the alert box: a ticker of recent treats, and a counter with a goal.

import { texts } from './texts.js';

const SPEED = 70; // pixels a second

export class Ticker {
  #root; #track; #list = []; #settings = null; #drawn = '';

  constructor(root) {
    this.#root = root;
    this.#track = root.querySelector('.track');
    new ResizeObserver(() => this.#move()).observe(root);
  }

  set(settings) {
    this.#settings = settings;
    this.#draw();
  }

  show(list) {
    this.#list = list;
    this.#draw();
  }

  #draw() {
    if (!this.#settings || this.#root.hidden) return;
    const key = this.#settings.locale + this.#list.map((a) => a.number).join();
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#root.classList.toggle('empty', this.#list.length === 0);
    this.#track.replaceChildren(...this.#items());
    this.#move();
  }

  // items are the treats, the newest first.
  #items() {
    const words = texts(this.#settings.locale);
    return [...this.#list].reverse().map((alert) => {
      const item = document.createElement('span');
      item.className = 'item';
      for (const [name, text] of [['emoji', alert.picture], ['who', alert.sender || words.anonymous], ['what', alert.title]]) {
        if (text === '') continue;
        const part = document.createElement('bdi');
        part.className = name;
        part.textContent = text;
        item.append(part);
      }
      return item;
    });
  }

  // move lets the treats run through if they do not fit. A copy follows them, so that there is no gap.
  #move() {
    const track = this.#track;
    track.querySelectorAll('.copy').forEach((copy) => copy.remove());
    track.classList.remove('running');
    const width = track.scrollWidth;
    if (width <= this.#root.clientWidth || width === 0) return;
    for (const item of [...track.children]) {
      const copy = item.cloneNode(true);
      copy.classList.add('copy');
      copy.setAttribute('aria-hidden', 'true');
      track.append(copy);
    }
    track.style.setProperty('--distance', -width + 'px');
    track.style.setProperty('--seconds', width / SPEED + 's');
    track.classList.add('running');
  }
}

export class Counter {
  #root; #totals = null; #settings = null; #last = null;

  constructor(root) { this.#root = root; }

  set(settings) {
    this.#settings = settings;
    this.#draw();
  }

  show(totals) {
    this.#totals = totals;
    this.#draw();
  }

  #draw() {
    if (!this.#totals || !this.#settings) return;
    const { goal } = this.#totals;
    const count = this.#totals[goal.period] ?? 0;
    const words = texts(this.#settings.locale);
    this.#root.querySelector('.caption').textContent = goal.text || words[goal.period];
    const number = this.#root.querySelector('.number');
    number.textContent = words.number(count) + (goal.count > 0 ? ' / ' + words.number(goal.count) : '');
    this.#root.querySelector('.bar').hidden = goal.count === 0;
    this.#root.style.setProperty('--part', String(goal.count > 0 ? Math.min(1, count / goal.count) : 0));
    this.#root.classList.toggle('reached', goal.count > 0 && count >= goal.count);
    if (this.#last !== null && count > this.#last) {
      number.classList.remove('risen');
      void number.offsetWidth; // restarts the animation
      number.classList.add('risen');
    }
    this.#last = count;
  }
}
