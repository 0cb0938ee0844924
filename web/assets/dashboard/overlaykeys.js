// The keys of an overlay: who may open its page.

import { html, useState } from '../vendor/htm/standalone.mjs';
import { change, part } from './api.js';
import { overlays } from './data.js';
import { Icon } from './icons.js';
import { useNames } from './page.js';
import { Ago, Button, confirm, CopyButton, Dialog, say, Select } from './ui.js';

/** Keys lists the keys of an overlay, for the owner. @param {{overlay: import('./types.js').Overlay, role: string}} props */
export function Keys({ overlay: o, role }) {
  const [adding, setAdding] = useState(false);
  if (role !== 'owner') return null;
  const path = `overlays/${part(o.name)}/keys`;
  const revoke = async (/** @type {string} */ id) => {
    if (!await confirm('Revoke the key?', `Pages that were opened with the key ${id} show nothing from now on. This cannot be undone.`, 'Revoke')) return;
    await change('DELETE', `${path}/${part(id)}`);
    await overlays.refresh();
    say('The key is revoked');
  };
  return html`<section class="part"><header><h3>Keys</h3><${Button} icon="key" kind="small" onClick=${() => setAdding(true)}>New key</${Button}>
    </header>
    ${(o.keys ?? []).length === 0 ? html`<p class="dim">No key yet. Make one to add the overlay to OBS.</p>` : html`<ul class="entries plain">${o.keys?.map((k) => html`<li key=${k.id}>
      <${Icon} name="key" /><code>${k.id}</code>
      <span class="dim">${k.account || 'all accounts'}, made <${Ago} time=${k.created} /></span>
        <span class="end"><${Button} kind="small plain" label=${`Revoke the key ${k.id}`} onClick=${() => revoke(k.id)}>Revoke</${Button}></span>
        </li>`)}</ul>`}
    ${adding && html`<${NewKey} name=${o.name} onClose=${() => setAdding(false)} />`}</section>`;
}

/** NewKey makes a key, and the overlay if it does not exist, and shows its address once. @param {{name: string, onClose: () => void}} props */
export function NewKey({ name, onClose }) {
  const names = useNames();
  const [account, setAccount] = useState('');
  const [made, setMade] = useState(/** @type {{url: string, warning?: string}|null} */ (null));
  const make = async () => {
    setMade(await change('POST', `overlays/${part(name)}/keys`, { account }));
    await overlays.refresh();
  };
  return html`<${Dialog} title=${`New key for ${name}`} onClose=${onClose}>
    ${made ? html`<div class="part">
      ${made.warning && html`<p role="alert">Note: ${made.warning}.</p>`}
      <p>Add a browser source in OBS, and paste this address as its URL. It is shown only now: keep it like a password.</p></div>
        <div class="secret-url"><code>${made.url}</code><${CopyButton} text=${made.url} label="Copy the address">Copy</${CopyButton}></div>
        <p class="dim">Width 1920, height 1080. If OBS may start before relay, use the file that <code>relay overlay file ${name}</code> writes instead.</p>
        <div class="dialog-foot"><${Button} kind="primary" onClick=${onClose}>Done</${Button}></div>`
      : html`<p>Whoever has the address of the page can read the treats that it shows, and nothing else.</p>
        <div><${Select} label="Treats of" value=${account} any="All accounts" options=${names.accounts} onChange=${setAccount} /></div>
        <div class="dialog-foot"><${Button} onClick=${onClose}>Cancel</${Button}>
          <${Button} kind="primary" onClick=${make}>Make the key</${Button}></div>`}
  </${Dialog}>`;
}
