// The alert box: one alert at a time.

import { CustomTheme } from './custom.js';
import { sleep } from './link.js';
import { texts } from './texts.js';

const SHORTEST = 2_500; // an alert stays at least so long when the next one comes early
const ANIMATION = 1_500; // no animation is waited for any longer
const READABLE = 0.7; // how far the text shrinks before it is cut
const SMALLEST = 0.5; // and after that

export class Alerts {
  #link; #player; #memory; #root; #settings = null; #custom; #current = null; #turn = 0;

  constructor({ link, player, memory, root }) {
    this.#link = link;
    this.#player = player;
    this.#memory = memory;
    this.#root = root;
    this.#custom = new CustomTheme(link);
    new ResizeObserver(() => this.#current?.refit()).observe(root);
  }

  set(settings) {
    const { theme, locale } = this.#settings ?? {};
    this.#settings = settings;
    this.#link.forget();
    this.#custom.set(settings.theme === 'custom');
    if (theme !== settings.theme || locale !== settings.locale) this.#current?.redraw();
  }

  // show asks relay whether to show an alert, and shows it.
  async show({ turn, alert, duration_ms: duration, ids = [alert.id] }) {
    this.#turn = turn;
    const say = (state, more) => this.#link.report({ turn, number: alert.number, id: alert.id, state, ...more });
    const known = alert.repeat ? [] : this.#memory.known(ids, turn);
    if (known.length > 0) return void say('finished', { known });
    await this.#current?.endSoon();
    if (this.#turn !== turn || !await say('started') || this.#turn !== turn) return;
    this.#link.shows(turn);
    this.#memory.add(ids, turn);
    const showing = new Showing(this.#root, this.#player, () => this.#draw(alert));
    this.#current = showing;
    try {
      await showing.run(duration, () => this.#player.play(alert, texts(this.#settings.locale)));
    } finally {
      showing.leave();
      if (this.#current === showing) {
        this.#current = null;
        this.#link.shows(0);
      }
      if (this.#turn === turn) say('finished'); // otherwise relay has ended it
    }
  }

  // hide takes the alert off the screen at once.
  hide() {
    this.#turn = 0;
    this.#current?.end();
  }

  // draw makes the element of an alert: of the operator's theme, or relay's own if there is none or it cannot be drawn.
  async #draw(alert) {
    try {
      const custom = await this.#custom.element();
      if (custom) return await this.#fill(custom, alert);
    } catch {
      // As if there were no such theme.
    }
    const own = document.getElementById('alert').content.firstElementChild.cloneNode(true);
    own.classList.toggle('plain', ['clean', 'custom'].includes(this.#settings.theme));
    return this.#fill(own, alert);
  }

  // fill puts an alert into an element. Every text is set as text.
  async #fill(root, alert) {
    const words = texts(this.#settings.locale);
    const fields = {
      overline: words.treat, sender: alert.sender || words.anonymous, title: alert.title, message: alert.message,
      more: words.moreWith(alert.more, alert.more_senders ?? []),
    };
    for (const node of [root, ...root.querySelectorAll('[data-field]')]) {
      const field = node.dataset.field;
      if (field === 'picture') await this.#picture(node, alert);
      else if (field in fields) {
        node.textContent = fields[field];
        node.hidden = fields[field] === '';
      }
    }
    return root;
  }

  async #picture(node, alert) {
    const url = alert.picture_file ? await Promise.race([this.#link.url(alert.picture_file), sleep(ANIMATION)]) : null;
    if (url) {
      const image = new Image();
      image.alt = '';
      image.src = url;
      const shown = await Promise.race([image.decode().then(() => true, () => false), sleep(ANIMATION)]);
      if (shown) {
        node.classList.add('image');
        return void node.replaceChildren(image);
      }
    }
    node.textContent = alert.picture;
  }
}

// Showing is one alert on screen. draw makes its element.
class Showing {
  #root; #player; #draw; #element = null; #drawings = 0; #since = performance.now(); #over = false; #ended; #end; #gone; #leave;

  constructor(root, player, draw) {
    this.#root = root;
    this.#player = player;
    this.#draw = draw;
    this.#ended = new Promise((resolve) => { this.#end = resolve; });
    this.#gone = new Promise((resolve) => { this.#leave = resolve; });
  }

  end() {
    this.#over = true;
    this.#end();
  }

  // endSoon ends the alert, but not before it could be read, and waits until it is gone.
  async endSoon() {
    await Promise.race([this.#gone, sleep(SHORTEST - (performance.now() - this.#since))]);
    this.end();
    await this.#gone;
  }

  // run shows the alert for its time, or until the end of what play begins if that is later.
  async run(duration, play) {
    while (!this.#element && !this.#over) await this.#show();
    if (this.#over) return; // hidden while its theme or its picture was loading
    this.#since = performance.now();
    await Promise.race([this.#ended, Promise.all([sleep(duration), play()])]);
    this.end();
    this.#player.stop();
    this.#element.dataset.state = 'out';
    await animated(this.#element);
  }

  // show draws the alert, unless it has ended or is to look different by then.
  async #show() {
    const drawing = this.#drawings;
    const element = await Promise.race([this.#draw(), this.#ended]);
    if (this.#over || drawing !== this.#drawings) return;
    if (this.#element) { // it stays the same alert
      this.#element.className = element.className;
      this.#element.replaceChildren(...element.childNodes);
    } else {
      this.#root.replaceChildren(element);
      this.#element = element;
    }
    fit(this.#root, this.#element);
    this.#element.dataset.state = 'in';
  }

  // redraw draws the alert in other settings.
  redraw() {
    this.#drawings++;
    if (this.#element) this.#show();
  }

  // refit makes the alert suit a box of another size.
  refit() {
    if (!this.#element || this.#over) return;
    fit(this.#root, this.#element);
    finite(this.#element).forEach((animation) => animation.finish()); // it does not come in again
  }

  // leave clears the box.
  leave() {
    this.#root.replaceChildren();
    this.#leave();
  }
}

// finite are the animations of an element that end.
const finite = (element) => element.getAnimations({ subtree: true }).filter((a) => a.effect.getComputedTiming().endTime !== Infinity);

// animated waits until the finite animations of an element end.
function animated(element) {
  return Promise.race([Promise.allSettled(finite(element).map((a) => a.finished)), sleep(ANIMATION)]);
}

// fit makes an alert as large as suits the box, and no larger: the text shrinks, the message has fewer lines, and then the
// text shrinks more.
function fit(box, element) {
  const size = Math.min(box.clientWidth * 0.043, box.clientHeight * 0.094);
  box.style.setProperty('--size', Math.max(13, Math.min(size, 72)) + 'px');
  element.classList.remove('tiny');
  element.style.removeProperty('--lines');
  element.classList.add('measured'); // without animations, which move things
  if (!(shrink(box, element, 1, READABLE) || shorten(box, element) || shrink(box, element, READABLE, SMALLEST))) element.classList.add('tiny');
  element.classList.remove('measured');
}

const fits = (box, element) => element.offsetHeight <= box.clientHeight && element.scrollHeight <= element.clientHeight + 1 &&
  element.offsetWidth <= box.clientWidth && element.scrollWidth <= element.clientWidth + 1;

function shrink(box, element, from, to) {
  for (let scale = from; scale >= to; scale *= 0.94) {
    element.style.setProperty('--scale', scale.toFixed(3));
    if (fits(box, element)) return true;
  }
  return false;
}

function shorten(box, element) {
  for (let lines = 5; lines >= 1; lines--) {
    element.style.setProperty('--lines', String(lines));
    if (fits(box, element)) return true;
  }
  return false;
}
