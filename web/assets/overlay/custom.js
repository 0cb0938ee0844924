// The theme of the operator: custom.html and custom.css from the overlay's folder. Scripts in them never run, and nothing
// is loaded from elsewhere.

const FORBIDDEN = 'script, style, link, meta, base, iframe, frame, object, embed, form, input, button, textarea, select, portal, noscript, template';
const MEDIA = new Set(['src', 'href', 'xlink:href', 'poster']);

export class CustomTheme {
  #link; #sheet = new CSSStyleSheet(); #loaded = null;

  constructor(link) { this.#link = link; }

  // set loads the theme, or removes it.
  set(used) {
    document.adoptedStyleSheets = used ? [this.#sheet] : [];
    this.#loaded = used ? this.#load().catch(() => null) : null; // one that cannot be read is like none
  }

  // element returns a copy of the template's alert, or null if there is no template.
  async element() {
    const template = await this.#loaded;
    return template ? template.cloneNode(true) : null;
  }

  async #load() {
    const [html, css] = await Promise.all([this.#link.text('custom.html'), this.#link.text('custom.css')]);
    this.#sheet.replaceSync(await this.#withFiles(css));
    await this.#fonts(css);
    const parsed = new DOMParser().parseFromString(html, 'text/html'); // which runs nothing and loads nothing
    const content = parsed.querySelector('template')?.content ?? parsed.body;
    await this.#clean(content);
    if (!content.querySelector('[data-field]')) return null;
    const root = document.createElement('article');
    root.className = 'alert';
    root.append(document.importNode(content, true));
    return root;
  }

  // clean removes what could run or load, and gives images of the folder their data.
  async #clean(content) {
    content.querySelectorAll(FORBIDDEN).forEach((node) => node.remove());
    for (const node of content.querySelectorAll('*')) {
      for (const { name, value } of [...node.attributes]) {
        const attribute = name.toLowerCase();
        if (attribute.startsWith('on') || attribute === 'style' || attribute === 'srcset' || attribute === 'srcdoc') node.removeAttribute(name);
        else if (MEDIA.has(attribute)) {
          const url = value.startsWith('#') ? value : await this.#link.url(value);
          if (url) node.setAttribute(name, url);
          else node.removeAttribute(name);
        }
      }
    }
  }

  // withFiles replaces url(file) by the file's data.
  async #withFiles(css) {
    const files = new Map();
    for (const [, , file] of css.matchAll(/url\(\s*(["']?)([^"')]+)\1\s*\)/g)) {
      if (!file.includes(':') && !file.startsWith('#')) files.set(file, await this.#link.url(file));
    }
    return css.replace(/url\(\s*(["']?)([^"')]+)\1\s*\)/g, (whole, quote, file) => files.get(file) ? `url("${files.get(file)}")` : whole);
  }

  // fonts adds the fonts of @font-face, which a style sheet may not load from a blob here.
  async #fonts(css) {
    for (const [, rule] of css.matchAll(/@font-face\s*{([^}]*)}/g)) {
      const value = (name) => rule.match(new RegExp('(?:^|;|\\s)' + name + '\\s*:\\s*([^;]+)'))?.[1].trim();
      const file = rule.match(/url\(\s*["']?([^"')]+)/)?.[1];
      const family = value('font-family')?.replace(/["']/g, '');
      const blob = file && family ? await this.#link.blob(file) : null;
      if (!blob) continue;
      try {
        const font = new FontFace(family, await blob.arrayBuffer(), { weight: value('font-weight') ?? 'normal', style: value('font-style') ?? 'normal' });
        document.fonts.add(await font.load());
      } catch {
        // A font that cannot be read is replaced by another.
      }
    }
  }
}
