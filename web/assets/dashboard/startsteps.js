// What is left to do after the setup.

/** @typedef {{id: 'login'|'overlay'|'test', done: boolean, names: string[]}} StartStep */

/**
 * startSteps returns the steps, done or not.
 * @param {import('./types.js').Status} status
 * @param {import('./types.js').Overlays|undefined} overlays
 * @returns {StartStep[]}
 */
export function startSteps(status, overlays) {
  const missing = status.accounts.filter((a) => a.token === 'not_logged_in').map((a) => a.account);
  const pages = overlays?.overlays ?? [];
  const steps = [{ id: /** @type {'login'} */ ('login'), done: missing.length === 0, names: missing }];
  return [
    ...steps,
    ...(pages.length > 0 ? [{ id: /** @type {'overlay'} */ ('overlay'), done: pages.some((o) => (o.keys ?? []).length > 0), names: pages.map((o) => o.name) }] : []),
    { id: 'test', done: hasArrived(status, pages), names: [] },
  ];
}

/**
 * hasArrived reports whether a treat has arrived anywhere. The journal's number of events leaves out test treats.
 * @param {import('./types.js').Status} status
 * @param {import('./types.js').Overlay[]} pages
 */
function hasArrived(status, pages) {
  return (status.journal.events ?? 0) > 0 || status.sinks.some((s) => s.delivered > 0) || pages.some((o) => o.showing || o.last_shown);
}

/**
 * isFresh reports whether relay looks as after the setup: nobody has logged in, or nothing was received and no overlay has a key.
 * @param {import('./types.js').Status} status
 * @param {import('./types.js').Overlays|undefined} overlays
 */
export function isFresh(status, overlays) {
  if (status.accounts.length === 0) return false;
  const [login, ...rest] = startSteps(status, overlays);
  return login.names.length === status.accounts.length || rest.length > 1 && rest.every((s) => !s.done);
}
