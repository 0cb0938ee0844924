// The widgets beside the alert box: a ticker of recent treats, and a counter with a goal.

import { texts } from './texts.js';

const SPEED = 70; // pixels a second
const UNDISTURBED = 15_000; // milliseconds for which the ticker runs before it begins again with the newest treat

export class Ticker {
  #root; #track; #list = []; #settings = null; #drawn = ''; #begun = 0;

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
    const key = JSON.stringify([this.#settings.locale, this.#list.map((a) => [a.number, a.picture, a.sender, a.title])]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#root.classList.toggle('empty', this.#list.length === 0);
    const place = this.#place();
    this.#track.replaceChildren(...this.#items());
    this.#move(place);
  }

  // items are the treats, the newest first.
  #items() {
    const words = texts(this.#settings.locale);
    return [...this.#list].reverse().map((alert) => {
      const item = document.createElement('span');
      item.className = 'item';
      item.dataset.number = alert.number;
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

  // running is the animation of the treats, if they move.
  #running() { return this.#track.getAnimations()[0]; }

  // place is the treat at the left edge, and how much of it has left; null if the treats do not move, or may begin again.
  #place() {
    const running = this.#running();
    if (!running || performance.now() - this.#begun > UNDISTURBED) return null;
    const left = running.effect.getComputedTiming().progress * parseFloat(this.#track.style.getPropertyValue('--width'));
    const item = [...this.#track.children].findLast((one) => this.#start(one) <= left);
    return item && { number: item.dataset.number, gone: left - this.#start(item) };
  }

  // start is where an item begins, from the start of the first one.
  #start(item) { return item.offsetLeft - this.#track.firstElementChild.offsetLeft; }

  // move lets the treats run through if they do not fit, from a place that is still there or from the beginning. A copy follows them, so that there
  // is no gap.
  #move(place = null) {
    const track = this.#track;
    track.querySelectorAll('.copy').forEach((copy) => copy.remove());
    track.classList.remove('running');
    const width = track.scrollWidth;
    if (width <= this.#root.clientWidth || width === 0) return;
    const item = place && [...track.children].find((one) => one.dataset.number === place.number);
    const left = item ? this.#start(item) + place.gone : 0;
    for (const one of [...track.children]) {
      const copy = one.cloneNode(true);
      copy.classList.add('copy');
      copy.setAttribute('aria-hidden', 'true');
      track.append(copy);
    }
    track.style.setProperty('--width', width + 'px');
    track.style.setProperty('--seconds', width / SPEED + 's');
    track.classList.add('running');
    const running = this.#running();
    if (item && running) running.currentTime = left / SPEED * 1000;
    else this.#begun = performance.now();
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
