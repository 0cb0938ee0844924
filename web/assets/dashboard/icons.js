// Small line icons, 24 units wide.

import { html } from '../vendor/htm/standalone.mjs';

/** @type {Record<string, string>} */
const PATHS = {
  now: 'M3 12h4l3-8 4 16 3-8h4',
  overlays: 'M3 5h18v11H3zM8 20h8M12 16v4',
  test: 'M21 3 10 14M21 3l-7 18-4-7-7-4z',
  history: 'M12 7v5l3 2M4 12a8 8 0 1 0 2.500-5.800L4 8.500M4 4v4.500h4.500',
  digests: 'M4 5h16v14H4zM8 9h8M8 12h8M8 15h4',
  attempts: 'M4 7h10M4 12h6M4 17h10M15 12l2.500 2.500L22 10',
  deadletters: 'M3 13h5l1.500 3h5l1.500-3h5M3 13l3-9h12l3 9v7H3zM10 7l4 4M14 7l-4 4',
  config: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4',
  menu: 'M4 6h16M4 12h16M4 18h16',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500 19 19M19 5l-1.500 1.500M6.500 17.500 5 19',
  moon: 'M20 14.500A8.500 8.500 0 1 1 9.500 4 7 7 0 0 0 20 14.500z',
  auto: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  exit: 'M14 4H5v16h9M10 12h11M17 8l4 4-4 4',
  copy: 'M8 8h12v12H8zM16 8V4H4v12h4',
  check: 'm5 13 4.500 4.500L19 7',
  close: 'M6 6l12 12M18 6 6 18',
  warn: 'M12 3 2 20h20zM12 10v4M12 17v.1',
  stop: 'M8 3h8l5 5v8l-5 5H8l-5-5V8zM9 9l6 6M15 9l-6 6',
  play: 'M7 4v16l13-8z',
  pause: 'M8 5v14M16 5v14',
  skip: 'M5 5v14l10-7zM19 5v14',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  mute: 'M4 9v6h4l5 4V5L8 9zM17 9.500l5 5M22 9.500l-5 5',
  sound: 'M4 9v6h4l5 4V5L8 9zM16.500 9a4 4 0 0 1 0 6M19 6.500a8 8 0 0 1 0 11',
  again: 'M4 12a8 8 0 0 1 14-5.300L20 9M20 4v5h-5M20 12a8 8 0 0 1-14 5.300L4 15M4 20v-5h5',
  key: 'M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8M11 12.500 20 4M16 8l3 3',
  link: 'M14 4h6v6M20 4l-9 9M10 5H5v14h14v-5',
  search: 'M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13M15.500 15.500 21 21',
  up: 'M12 20V5M5 12l7-7 7 7',
  back: 'M20 12H5M11 5l-7 7 7 7',
};

/** Icon draws an icon that is decoration: the text next to it, or the label of its button, says the same. @param {{name: string}} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
