// Numbers, durations and times as text. Texts are English; numbers and dates follow the browser's language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat('en', { style: 'narrow' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minute = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });

/** NONE stands for a number that is not known. */
export const NONE = '–';

/** @param {number|null|undefined} n */
export function number(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return NONE;
  return Math.abs(n) >= 100_000 ? compact.format(n) : whole.format(n);
}

/** rate formats a number per second, per minute if it is small. @param {number|null|undefined} perSecond */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return NONE;
  if (perSecond === 0) return '0/s';
  if (perSecond < 1) return (perSecond * 60 < 10 ? precise : whole).format(perSecond * 60) + '/min';
  return (perSecond < 100 ? precise : whole).format(perSecond) + '/s';
}

/** duration formats seconds in the largest unit that fits. @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return NONE;
  if (seconds < 0.001) return seconds === 0 ? '0 ms' : '<1 ms';
  if (seconds < 0.01) return precise.format(seconds * 1000) + ' ms';
  if (seconds < 1) return whole.format(seconds * 1000) + ' ms';
  if (seconds < 10) return precise.format(seconds) + ' s';
  for (const [unit, length, next] of [['s', 1, 60], ['min', 60, 60], ['h', 3600, 48]]) {
    const value = Math.floor(seconds / Number(length));
    if (value < Number(next)) return whole.format(value) + ' ' + unit;
  }
  return whole.format(Math.floor(seconds / 86_400)) + ' d';
}

/** bytes formats a size. @param {number|null|undefined} n */
export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  let value = n;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return (unit === 'B' || value >= 100 ? whole : precise).format(value) + ' ' + unit;
    value /= 1024;
  }
  return precise.format(value) + ' TiB';
}

/**
 * ago says how far a time is from now, in either direction.
 * @param {string|number|Date} time
 * @param {number} now  milliseconds since 1970
 */
export function ago(time, now) {
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  if (Number.isNaN(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 2) return 'now';
  if (size < 60) return relative.format(seconds, 'second');
  if (size < 3600) return relative.format(Math.trunc(seconds / 60), 'minute');
  if (size < 48 * 3600) return relative.format(Math.trunc(seconds / 3600), 'hour');
  return relative.format(Math.trunc(seconds / 86_400), 'day');
}

/** since says how long ago a time was, without "ago". @param {string|number|Date} time @param {number} now */
export function since(time, now) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  return Number.isNaN(seconds) ? NONE : duration(Math.max(1, Math.floor(seconds)));
}

/** fullTime formats a date and time. @param {string|number|Date} time */
export function fullTime(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? NONE : moment.format(date);
}

/** hourAndMinute formats a time of the day. @param {string|number|Date} time */
export function hourAndMinute(time) { return minute.format(new Date(time)); }

/** shortTime formats a time, with the date unless it is today. @param {string|number|Date} time @param {number} now */
export function shortTime(time, now) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return NONE;
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? clock.format(date) : day.format(date) + ', ' + clock.format(date);
}

const TIMESTAMP = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)/g;

/** localTimes replaces the timestamps in a text of relay. @param {string} text @param {number} now */
export function localTimes(text, now) {
  return text.replace(TIMESTAMP, (stamp) => shortTime(stamp, now));
}

/** plural adds a noun to a number. @param {number} n @param {string} one @param {string} [many] */
export function plural(n, one, many = one + 's') {
  return number(n) + ' ' + (n === 1 ? one : many);
}

/** inputTime is the value of an input of the type datetime-local. @param {Date} date */
export function inputTime(date) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** browserOf names the program behind a user agent. @param {string} agent */
export function browserOf(agent) {
  const known = [[/\bOBS\/([\d.]+)/, 'OBS'], [/\bStreamlabs[^/]*\/([\d.]+)/i, 'Streamlabs'], [/\bEdg\/(\d+)/, 'Edge'], [/\bFirefox\/(\d+)/, 'Firefox'],
    [/\bChrome\/(\d+)/, 'Chrome'], [/\bVersion\/(\d+).*Safari/, 'Safari']];
  for (const [pattern, name] of known) {
    const found = /** @type {RegExp} */ (pattern).exec(agent);
    if (found) return name + ' ' + found[1];
  }
  return agent === '' ? 'unknown program' : agent.slice(0, 40);
}
