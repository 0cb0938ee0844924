import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const dashboard = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const assets = path.dirname(dashboard);
const scripts = fs.readdirSync(dashboard).filter((name) => name.endsWith('.js'));
const read = (/** @type {string} */ name) => fs.readFileSync(path.join(assets, name), 'utf8');

/** imports returns the modules that a module imports: at once, and later. @param {string} name */
function imports(name) {
  const text = read(name);
  const resolve = (/** @type {RegExp} */ pattern) => [...text.matchAll(pattern)].map((m) => path.join(path.dirname(name), m[1]));
  return { now: resolve(/^(?:import|export) [^;]*?from '([^']+)';/gm), later: resolve(/import\('([^']+)'\)/g) };
}

/** A chain of imports would cost a round trip for each link: all are named in the page. */
for (const page of [{ html: 'dashboard/index.html', script: 'dashboard/app.js' }, { html: 'overlay/index.html', script: 'overlay/overlay.js' }]) test(`${page.html} preloads every module that its first picture needs, and no other`, () => {
  const needed = new Set();
  const visit = (/** @type {string} */ name) => {
    if (needed.has(name)) return;
    needed.add(name);
    if (!name.startsWith('vendor')) imports(name).now.forEach(visit);
  };
  visit(page.script);
  const listed = [...read(page.html).matchAll(/(?:modulepreload" href|module" src)="(?:\.\.)?\/assets\/([^"]+)"/g)].map((m) => m[1]);
  assert.deepEqual(listed.sort(), [...needed].sort());
});

test('every module that is imported exists, and is used', () => {
  const used = new Set(['dashboard/app.js', 'dashboard/theme.js', 'dashboard/types.js']);
  for (const script of scripts) {
    const { now, later } = imports('dashboard/' + script);
    for (const name of [...now, ...later]) {
      assert.ok(fs.existsSync(path.join(assets, name)), `${script} imports ${name}`);
      used.add(name);
    }
  }
  assert.deepEqual(scripts.filter((s) => !used.has('dashboard/' + s)), []);
});

test('no script makes HTML of a text, or runs one', () => {
  for (const script of scripts) {
    assert.doesNotMatch(read('dashboard/' + script), /innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|document\.write|\beval\(|new Function|srcdoc/, script);
  }
});

test('every icon that is named exists', () => {
  const known = new Set([...read('dashboard/icons.js').matchAll(/^ {2}(\w+): '/gm)].map((m) => m[1]));
  for (const script of scripts) {
    for (const [, name] of read('dashboard/' + script).matchAll(/\b(?:icon|name)="(\w+)" \/?>?/g)) {
      if (new RegExp(`icon="${name}"|Icon\\} name="${name}"`).test(read('dashboard/' + script))) assert.ok(known.has(name), `${script}: ${name}`);
    }
  }
});
