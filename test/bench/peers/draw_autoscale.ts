import { writeFile } from 'node:fs/promises';
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

const WIDTH = 860;
const PANEL_HEIGHT = 150;
const TITLE_HEIGHT = 30;
const EDGE = 16;

/** Says both for a light and a dark page; the background is drawn, so that it can be read on any. */
const STYLE = `
  svg { --page: #ffffff; --text: #1f2328; --work: #80ccff; --workers: #0969da; --leaving: #bf8700; color: var(--text); }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #e6edf3; --work: #1f4f8f; --workers: #58a6ff; --leaving: #d29922; }
  }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; }
  text.title { font-size: 13px; font-weight: 600; }`;

/** What was seen at one moment of a run. */
export interface AutoscalePoint {
  atSeconds: number;
  workload: number | undefined;
  replicas: number;
  terminating: number;
}

/** Draws the work above the workers, over the same minutes, and writes it as an SVG file. */
export async function writeAutoscalePlot(file: string, points: AutoscalePoint[]): Promise<void> {
  const { document } = parseHTML('<html><body></body></html>');
  const x = ({ atSeconds }: AutoscalePoint) => atSeconds / 60;
  const panel = (marks: Plot.Mark[], last: boolean) => Plot.plot({
    document,
    width: WIDTH,
    height: PANEL_HEIGHT,
    marginLeft: 50,
    marginRight: EDGE,
    marginTop: 6,
    marginBottom: last ? 36 : 20,
    x: { label: last ? 'minutes' : null },
    y: { label: null, grid: true, ticks: 4 },
    marks,
  });
  const panels = [
    {
      title: 'Jobs that workers could be at: ready and leased',
      drawn: panel([Plot.areaY(points, { x, y: ({ workload }: AutoscalePoint) => workload ?? 0, fill: 'var(--work)' })], false),
    },
    {
      title: 'Workers, and on top of them those that finish what they are at',
      drawn: panel([
        Plot.areaY(points, { x, y1: 'replicas', y2: ({ replicas, terminating }: AutoscalePoint) => replicas + terminating, fill: 'var(--leaving)', curve: 'step-after' }),
        Plot.line(points, { x, y: 'replicas', stroke: 'var(--workers)', strokeWidth: 2, curve: 'step-after' }),
      ], true),
    },
  ];
  const height = panels.length * (TITLE_HEIGHT + PANEL_HEIGHT) + EDGE;
  const parts = panels.map(({ title, drawn }, index) => {
    const top = index * (TITLE_HEIGHT + PANEL_HEIGHT);
    drawn.setAttribute('y', String(top + TITLE_HEIGHT));
    return `<text class="title" x="${EDGE}" y="${top + 20}" fill="currentColor">${title}</text>\n${drawn.outerHTML}`;
  });
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    '<title>Work and workers over time</title>',
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="var(--page)"/>`,
    ...parts,
    '</svg>',
  ];
  await writeFile(file, `${svg.join('\n')}\n`);
}
