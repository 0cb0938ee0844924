// Addresses within the dashboard: #/history?text=pizza, #/event/ID.

/** @typedef {{view: string, argument: string, query: Record<string, string>}} Route */

/**
 * parseRoute reads the fragment of the page's address.
 * @param {string} fragment
 * @returns {Route}
 */
export function parseRoute(fragment) {
  const [path, search = ''] = fragment.replace(/^#?\/?/, '').split('?', 2);
  const [view, ...rest] = path.split('/');
  let argument = rest.join('/');
  try {
    argument = decodeURIComponent(argument);
  } catch {
    argument = '';
  }
  return { view: view || 'now', argument, query: Object.fromEntries(new URLSearchParams(search)) };
}

/**
 * routeTo returns the fragment of a view. Parameters that are empty are left out.
 * @param {string} view
 * @param {string} [argument]
 * @param {Record<string, string|number|undefined>} [query]
 */
export function routeTo(view, argument = '', query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return '#/' + view + (argument === '' ? '' : '/' + encodeURIComponent(argument)) + (text === '' ? '' : '?' + text);
}

/** routeToEvent returns the fragment of the page of an event, or of a digest, by its id. @param {string} id */
export function routeToEvent(id) { return routeTo(id.startsWith('dig_') ? 'digest' : 'event', id); }

/** linkToken returns the token of a one-time link in the fragment, or ''. @param {string} fragment */
export function linkToken(fragment) {
  return /^#link=([\w-]{16,256})$/.exec(fragment)?.[1] ?? '';
}
