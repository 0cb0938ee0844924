// The first requests. They begin before the scripts of the views have loaded, so that those find the answers there.

import { get } from './api.js';
import { linkToken } from './route.js';

const SESSION = 'relay.session'; // "none": nobody was signed in when the page was open last

const link = linkToken(location.hash) !== ''; // with a one-time link, the session comes later

/** signedIn is whether somebody seems to be signed in. */
export const signedIn = !link && remembered() !== 'none';

/** @type {Map<string, Promise<any>>} */
const answers = new Map((link ? [] : signedIn ? ['/session', 'status'] : ['/session']).map((path) => [path, get(path)]));
for (const answer of answers.values()) answer.catch(() => {}); // whoever takes it handles the error

/** early returns the answer to the first request for a path, once. @param {string} path @returns {Promise<any>|undefined} */
export function early(path) {
  const answer = answers.get(path);
  answers.delete(path);
  return answer;
}

/** rememberSession remembers for the next time whether somebody is signed in: if nobody is, requests would be refused. @param {boolean} is */
export function rememberSession(is) {
  try {
    localStorage.setItem(SESSION, is ? 'open' : 'none');
  } catch {
    // Without storage the page asks.
  }
}

function remembered() {
  try {
    return localStorage.getItem(SESSION) ?? '';
  } catch {
    return '';
  }
}

import('./format.js'); // the first use of Intl in a page takes long enough to begin it now
