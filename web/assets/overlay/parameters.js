// The parameters of the page's URL, which override the settings for this page. What is wrong is ignored.

const THEMES = ['clean', 'pop', 'night', 'custom'];
const WIDGETS = ['alerts', 'ticker', 'counter'];
const ALIGNS = ['left', 'center', 'right'];

const list = (text) => (text ?? '').split(',').map((part) => part.trim());

// number reads a number without a sign; NaN if it is none.
const number = (text) => /^\d+(\.\d+)?$/.test(text?.trim() ?? '') ? Number(text) : NaN;

// readParameters reads theme, volume, speech, widget, layout (x,y,width,height,align in percent) and preview. A page
// without a key is always a preview.
export function readParameters(query, preview) {
  const p = { preview: preview || query.get('preview') === '1' };
  if (THEMES.includes(query.get('theme'))) p.theme = query.get('theme');
  const volume = number(query.get('volume'));
  if (volume <= 100) p.volume = volume;
  if (['0', '1'].includes(query.get('speech'))) p.speech = query.get('speech') === '1';
  const widgets = list(query.get('widget')).filter((w) => WIDGETS.includes(w));
  if (widgets.length > 0) p.widgets = widgets;
  const [x, y, width, height, align = 'center'] = list(query.get('layout'));
  const layout = { x: number(x), y: number(y), width: number(width), height: number(height), align };
  const fits = (start, length) => length > 0 && start + length <= 100;
  if (fits(layout.x, layout.width) && fits(layout.y, layout.height) && ALIGNS.includes(align)) p.layout = layout;
  return p;
}

// merge returns the settings with the parameters in their place.
export function merge(settings, parameters) {
  const merged = { ...settings };
  for (const name of ['theme', 'volume', 'speech', 'widgets', 'layout']) {
    if (parameters[name] !== undefined) merged[name] = parameters[name];
  }
  return merged;
}
