// Sound and speech of an alert. Neither ever holds up an alert that cannot be heard.

import { sleep } from './link.js';

const LONGEST_SPEECH = 25_000; // relay allows 30 s
const SILENT_START = 2_000; // a voice that has not begun by then does not come

export class Player {
  #link; #settings = null; #sound = null; #plays = 0; #endSpeech = () => {};

  constructor(link) {
    this.#link = link;
    globalThis.speechSynthesis?.getVoices(); // a browser begins to load them when asked
  }

  set(settings) {
    this.#settings = settings;
    if (this.#sound) this.#sound.volume = this.#volume();
    if (settings.muted) this.stop();
  }

  #volume() { return this.#settings.muted ? 0 : this.#settings.volume / 100; }

  // play starts the sound. It resolves when the speech has ended, if there is any.
  async play(alert, words) {
    if (this.#volume() === 0) return;
    this.#playSound();
    if (this.#settings.speech) await this.#speak(words.spoken(alert));
  }

  // stop silences sound and speech. What waits for the speech goes on, whether or not the browser reports its end.
  stop() {
    this.#plays++;
    this.#sound?.pause();
    this.#sound = null;
    globalThis.speechSynthesis?.cancel();
    this.#endSpeech();
  }

  async #playSound() {
    const { sound, sound_file: file } = this.#settings;
    if (sound === 'none') return;
    const plays = this.#plays;
    const url = file ? await this.#link.url(file) : new URL('sounds/' + (sound === 'pop' ? 'pop' : 'chime') + '.wav', import.meta.url);
    if (!url || plays !== this.#plays) return; // stopped while it was loading
    const audio = new Audio(url);
    audio.volume = this.#volume();
    this.#sound = audio;
    audio.play().catch(() => {}); // a browser that wants a click first; OBS wants none
  }

  async #speak(text) {
    const synthesis = globalThis.speechSynthesis;
    if (!synthesis || synthesis.getVoices().length === 0) return;
    const utterance = new SpeechSynthesisUtterance(text);
    utterance.lang = this.#settings.speech_language;
    utterance.volume = this.#volume();
    await new Promise((resolve) => {
      this.#endSpeech = resolve;
      const silent = setTimeout(resolve, SILENT_START);
      utterance.onstart = () => clearTimeout(silent);
      utterance.onend = resolve;
      utterance.onerror = resolve;
      sleep(LONGEST_SPEECH).then(resolve);
      synthesis.speak(utterance);
    });
  }
}
