import { writeFile } from 'node:fs/promises';
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { PlotPanel, PlotRow } from '../plot/panels.ts';

const WIDTH = 860;
const LABEL_WIDTH = 250;
/** Room for the figure that stands right of the longest bar. */
const VALUE_WIDTH = 170;
const ROW_HEIGHT = 24;
const TITLE_HEIGHT = 34;
const EDGE = 16;
/** In rows: between groups of bars, and above and below each. */
const GAP_ROWS = 0.4;
const BAR_INSET = 0.16;

/** Says both for a light and a dark page; the background is drawn, so that it can be read on any. */
const STYLE = `
  svg { --page: #ffffff; --text: #1f2328; --ours: #0969da; --peer: #8c959f; --ceiling: #bf8700; --plain: #80ccff; color: var(--text); }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #e6edf3; --ours: #58a6ff; --peer: #6e7681; --ceiling: #d29922; --plain: #1f4f8f; }
  }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; }
  text.title { font-weight: 600; }`;

/** Draws the panels one below the other, all to one scale, and writes them as one SVG file. */
export async function writePlot(file: string, panels: PlotPanel[]): Promise<void> {
  const { document } = parseHTML('<html><body></body></html>');
  const scaleMax = Math.max(...panels.flatMap(({ rows }) => rows.map(({ max }) => max)));
  let top = EDGE;
  const parts = panels.map(({ title, rows, together = rows.length }) => {
    const places = rows.map((row, index) => ({ ...row, place: index + GAP_ROWS * Math.floor(index / together) }));
    const height = (places.at(-1)!.place + 1) * ROW_HEIGHT;
    const drawn = panelSvg(document, places, height, scaleMax);
    drawn.setAttribute('y', String(top + TITLE_HEIGHT));
    const text = `<text class="title" x="${EDGE}" y="${top + 20}" fill="currentColor">${escape(title)}, jobs/s</text>`;
    top += TITLE_HEIGHT + height + EDGE;
    return `${text}\n${drawn.outerHTML}`;
  });
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" role="img">`,
    `<title>Jobs per second, medians with the range of the runs</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${top}" fill="var(--page)"/>`,
    ...parts,
    '</svg>',
  ];
  await writeFile(file, `${svg.join('\n')}\n`);
}

/** A bar and where it stands, in rows from the top. */
type PlacedRow = PlotRow & { place: number };

function panelSvg(document: unknown, rows: PlacedRow[], height: number, scaleMax: number): Plot.Drawn {
  const side = { text: 'label', fill: 'currentColor', textAnchor: 'end', dx: -10 };
  const figure = { text: valueText, fill: 'currentColor', textAnchor: 'start', dx: 8 };
  const bar = { y1: ({ place }: PlacedRow) => place + BAR_INSET, y2: ({ place }: PlacedRow) => place + 1 - BAR_INSET };
  const middle = ({ place }: PlacedRow) => place + 0.5;
  return Plot.plot({
    document,
    width: WIDTH,
    height,
    marginLeft: LABEL_WIDTH,
    marginRight: VALUE_WIDTH,
    marginTop: 0,
    marginBottom: 0,
    x: { domain: [0, scaleMax], axis: null },
    y: { domain: [0, height / ROW_HEIGHT], range: [0, height], axis: null },
    marks: [
      Plot.rect(rows, { ...bar, x1: 0, x2: 'median', fill: ({ part }: PlacedRow) => `var(--${part})` }),
      Plot.ruleY(rows, { x1: 'min', x2: 'max', y: middle, stroke: 'currentColor', strokeWidth: 1.5 }),
      Plot.text(rows, { ...side, x: 0, y: middle }),
      Plot.text(rows, { ...figure, x: 'max', y: middle }),
    ],
  });
}

function valueText({ median, min, max }: PlotRow): string {
  const thousands = (value: number) => (value / 1000).toFixed(1);
  const range = min === max ? '' : ` (${thousands(min)} to ${thousands(max)})`;
  return `${thousands(median)}k${range}`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
