// The logic of the setup: its steps, what is sent, and where its errors belong.

/** @typedef {'provider'|'app'|'treats'|'review'} Step */
/** @typedef {{field: string, detail: string}} FieldError */

/**
 * @typedef {object} Form
 * @property {string} provider
 * @property {string} account  '': the suggested name
 * @property {string} client_id
 * @property {string} client_secret
 * @property {string} base_url
 * @property {boolean} overlay
 * @property {Record<string, {on: boolean, url: string}>} sinks  by type
 */

/** @type {Record<Step, string>} */
export const TITLES = { provider: 'Provider', app: 'Access', treats: 'Where treats go', review: 'Review' };

/** firstForm is the form before anything is entered. @param {import('./types.js').Setup} setup @returns {Form} */
export function firstForm(setup) {
  return {
    provider: setup.providers[0]?.name ?? '', account: '', client_id: '', client_secret: '', base_url: '', overlay: true,
    sinks: Object.fromEntries(setup.sinks.map((s) => [s.type, { on: false, url: '' }])),
  };
}

/** providerOf returns the provider that is chosen. @param {import('./types.js').Setup} setup @param {Form} form */
export function providerOf(setup, form) { return setup.providers.find((p) => p.name === form.provider) ?? setup.providers[0]; }

/** stepsOf returns the steps for a provider: one that sends no treats needs no place for them. @param {{treats: boolean}} provider @returns {Step[]} */
export function stepsOf(provider) { return provider.treats ? ['provider', 'app', 'treats', 'review'] : ['provider', 'app', 'review']; }

/**
 * requestOf returns what is sent to relay. Without check, relay writes the file.
 * @param {import('./types.js').Setup} setup
 * @param {Form} form
 * @param {boolean} check
 */
export function requestOf(setup, form, check) {
  const provider = providerOf(setup, form);
  const sinks = setup.sinks.filter((s) => form.sinks[s.type].on).map((s) => (s.url ? { type: s.type, url: form.sinks[s.type].url } : { type: s.type }));
  return {
    provider: provider.name, account: form.account.trim() || provider.account, check,
    ...(provider.client ? { client_id: form.client_id, client_secret: form.client_secret } : {}),
    ...(provider.base_url ? { base_url: form.base_url } : {}),
    ...(provider.treats ? { sinks, overlay: form.overlay } : {}),
  };
}

/** stepOf returns the step that has a field. @param {string} field @returns {Step} */
export function stepOf(field) {
  if (field === 'provider') return 'provider';
  if (['account', 'client_id', 'client_secret', 'base_url'].includes(field)) return 'app';
  return field.startsWith('sinks') ? 'treats' : 'review';
}

/**
 * errorsUpTo returns the errors of a step and of those before it: the others are not entered yet.
 * @param {FieldError[]} errors
 * @param {Step[]} steps
 * @param {number} step  index
 */
export function errorsUpTo(errors, steps, step) {
  const reached = step >= steps.length - 2 ? steps : steps.slice(0, step + 1); // the next one shows the file, which has to be whole
  return errors.filter((e) => reached.includes(stepOf(e.field)));
}

/** firstStep returns the index of the first step with an error. @param {FieldError[]} errors @param {Step[]} steps */
export function firstStep(errors, steps) {
  const found = errors.map((e) => steps.indexOf(stepOf(e.field))).filter((i) => i >= 0);
  return found.length === 0 ? steps.length - 1 : Math.min(...found);
}

/** messageOf is an error as a sentence. @param {string} detail */
export function messageOf(detail) {
  const whole = /^(?:is|has) /.test(detail) ? 'it ' + detail : detail; // relay puts the name of the field before it
  const text = whole.charAt(0).toUpperCase() + whole.slice(1);
  return /[.!?]$/.test(text) ? text : text + '.';
}
