// The first requests. They begin before the scripts of the views have loaded, so that those find the answers there.

import { get } from './api.js';
import { linkToken } from './route.js';

const signedIn = linkToken(location.hash) === ''; // with a one-time link, the session comes later

/** @type {Map<string, Promise<any>>} */
const answers = new Map(signedIn ? ['/session', 'status'].map((path) => [path, get(path)]) : []);
for (const answer of answers.values()) answer.catch(() => {}); // whoever takes it handles the error

/** early returns the answer to the first request for a path, once. @param {string} path @returns {Promise<any>|undefined} */
export function early(path) {
  const answer = answers.get(path);
  answers.delete(path);
  return answer;
}

import('./format.js'); // the first use of Intl in a page takes long enough to begin it now
