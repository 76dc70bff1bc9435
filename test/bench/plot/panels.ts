import type { Figure } from '../report/figure.ts';

/** One bar of the plot: a median, and the range of the runs around it. */
export interface PlotRow {
  label: string;
  /** What it is drawn as: ours, a peer, the ceiling, or ours in the plain way that a special one is compared with. */
  part: 'ours' | 'peer' | 'ceiling' | 'plain';
  median: number;
  min: number;
  max: number;
}

/** Bars that belong together. */
export interface PlotPanel {
  title: string;
  rows: PlotRow[];
  /** A little room after so many rows. */
  together?: number;
}

const CONTESTANT_PARTS: Record<string, PlotRow['part']> = { skiplease: 'ours', 'plain-sql': 'ceiling' };
const CONTESTANT_LABELS: Record<string, string> = { 'plain-sql': 'plain SQL, the ceiling', bullmq: 'bullmq on Redis' };

/** Where all contestants stand side by side. */
const CONTESTS = [
  { figure: 'end-to-end/jobs_per_second', title: 'End to end' },
  { figure: 'drain/jobs_per_second', title: 'Drain: all jobs wait' },
  { figure: 'submit/jobs_per_second', title: 'Submit: no worker runs' },
  { figure: 'snapshot/jobs_per_second_4', title: 'End to end while another session holds a snapshot, the fourth flood' },
];

/** Ours, with a burden and without: flat growth is two bars of one length. */
const PAIRS: [string, string][] = [
  ['snapshot/jobs_per_second_4', 'snapshot/without_jobs_per_second_4'],
  ['backlog/many_jobs_per_second', 'backlog/few_jobs_per_second'],
  ['scheduled/beside_jobs_per_second', 'scheduled/plain_jobs_per_second'],
  ['many-queues/drain_many_jobs_per_second', 'many-queues/drain_one_jobs_per_second'],
  ['windows-of-one/many_jobs_per_second', 'windows-of-one/one_jobs_per_second'],
  ['ten-coordinators/ten_jobs_per_second', 'ten-coordinators/one_jobs_per_second'],
];

/** What there is to draw of these figures; panels without a bar are left out. */
export function plotPanels(figures: Figure[]): PlotPanel[] {
  const byId = new Map(figures.map((figure) => [figure.id, figure]));
  const contests = CONTESTS.map(({ figure, title }) => ({ title, rows: contestRows(byId.get(figure)) }));
  const pairs = PAIRS.flatMap(([burdened, plain]) => {
    const [with_, without] = [oursRow(byId.get(burdened), 'ours'), oursRow(byId.get(plain), 'plain')];
    return with_ && without ? [with_, without] : [];
  });
  return [...contests, { title: 'Ours with a burden, and below it without', rows: pairs, together: 2 }].filter(({ rows }) => rows.length > 0);
}

function contestRows(figure: Figure | undefined): PlotRow[] {
  return Object.entries(figure?.values ?? {}).map(([name, { median, min, max }]) => ({
    label: CONTESTANT_LABELS[name] ?? name,
    part: CONTESTANT_PARTS[name] ?? 'peer',
    median,
    min,
    max,
  }));
}

function oursRow(figure: Figure | undefined, part: PlotRow['part']): PlotRow | undefined {
  const value = figure?.values.skiplease;
  if (!figure || !value) return undefined;
  const { median, min, max } = value;
  return { label: rowLabel(figure.label), part, median, min, max };
}

/** `backlog: jobs/s, first 100 of 1,000` is `first 100 of 1,000` in the plot; `no snapshot: jobs/s, …` keeps its head. */
function rowLabel(label: string): string {
  const [head, rest] = label.trim().split(/: jobs\/s,? ?/);
  return head!.includes('snapshot') ? head! : (rest ?? label);
}
