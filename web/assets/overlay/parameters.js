// The parameters of the page's URL, which override the settings for this page. What is wrong is ignored.

const THEMES = ['clean', 'pop', 'night', 'custom'];
const WIDGETS = ['alerts', 'ticker', 'counter'];
const ALIGNS = ['left', 'center', 'right'];

// readParameters reads theme, volume, speech, widget, layout (x,y,width,height,align in percent) and preview. A page
// without a key is always a preview.
export function readParameters(query, preview) {
  const p = { preview: preview || query.get('preview') === '1' };
  if (THEMES.includes(query.get('theme'))) p.theme = query.get('theme');
  const volume = Number(query.get('volume') ?? NaN);
  if (volume >= 0 && volume <= 100) p.volume = volume;
  if (query.has('speech')) p.speech = !['0', 'false', 'no', 'off'].includes(query.get('speech'));
  const widgets = (query.get('widget') ?? '').split(',').filter((w) => WIDGETS.includes(w));
  if (widgets.length > 0) p.widgets = widgets;
  const [x, y, width, height, align = 'center'] = (query.get('layout') ?? '').split(',');
  const layout = { x: Number(x), y: Number(y), width: Number(width), height: Number(height), align };
  const fits = (start, length) => start >= 0 && length > 0 && start + length <= 100;
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
