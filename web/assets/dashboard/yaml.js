// Marks the parts of a line of YAML for reading. It does not parse: a line that it does not understand is plain text.

/** @typedef {{text: string, kind: 'key'|'comment'|'secret'|'variable'|'plain'}} Part */

/**
 * markLine splits a line of relay.yaml. The parts joined are the line.
 * @param {string} line
 * @returns {Part[]}
 */
export function markLine(line) {
  /** @type {Part[]} */
  const parts = [];
  const key = /^(\s*(?:- )?)([\w.-]+:)(?=\s|$)/.exec(line);
  let rest = line;
  if (key) {
    if (key[1]) parts.push({ text: key[1], kind: 'plain' });
    parts.push({ text: key[2], kind: 'key' });
    rest = line.slice(key[0].length);
  }
  const comment = commentStart(rest);
  const value = comment < 0 ? rest : rest.slice(0, comment);
  for (const text of value.split(/(\$\{\w+\}|\*\*\*)/)) {
    if (text === '') continue;
    parts.push({ text, kind: text === '***' ? 'secret' : /^\$\{\w+\}$/.test(text) ? 'variable' : 'plain' });
  }
  if (comment >= 0) parts.push({ text: rest.slice(comment), kind: 'comment' });
  return parts;
}

/** commentStart returns where the comment of a line begins, or -1. @param {string} text */
function commentStart(text) {
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote) {
      if (quote === '"' && c === '\\' || quote === "'" && text.startsWith("''", i)) i++; // what comes next is escaped
      else if (c === quote) quote = '';
    } else if ((c === '"' || c === "'") && /[\s:[{,-]/.test(text[i - 1] ?? ' ')) {
      quote = c;
    } else if (c === '#' && (i === 0 || /\s/.test(text[i - 1]))) {
      return i;
    }
  }
  return -1;
}
