import assert from 'node:assert/strict';
import { test } from 'node:test';
import { texts } from '../texts.js';

test('numbers and words are in the language of the locale', () => {
  assert.equal(texts('de').moreWith(1234, []), 'und 1.234 weitere Treats');
  assert.equal(texts('pt-BR').number(1234567), '1.234.567');
  assert.equal(texts('xx').moreWith(1, []), 'and 1 more treat');
});

test('a locale that the browser does not accept has the words of its language', () => {
  for (const [locale, more] of Object.entries({
    'pt-BRA': 'e mais 2 presentes', 'es-MEX': 'y 2 regalos más', 'de-GER': 'und 2 weitere Treats', 'de-1': 'und 2 weitere Treats',
    'fr-x': 'et 2 cadeaux de plus', 'ja-JAPAN-1': 'ほか2件', 'en-': 'and 2 more treats', 'EN-usa': 'and 2 more treats', '': 'and 2 more treats', '-': 'and 2 more treats',
  })) assert.equal(texts(locale).moreWith(2, []), more, locale);
});
