/** The demo's sentences. Everything that it prints, save the bar and the table, is worded here. */
import { styleText } from 'node:util';
import type { BatchSnapshot } from '../../index.ts';
import type { Invariant } from '../invariants.ts';
import type { UnreadableRow } from '../payment_jobs.ts';
import type { Child } from './child.ts';
import type { Kill, Redelivery } from './kill.ts';

type BatchCounts = BatchSnapshot['counts'];

const styled = (style: Parameters<typeof styleText>[0], text: string): string => styleText(style, text, { stream: process.stdout });

export const number = (count: number): string => count.toLocaleString('en');
export const plural = (count: number, one: string): string => `${number(count)} ${one}${count === 1 ? '' : 's'}`;

/** "a, b, c and 5 more" */
function few(items: readonly string[], shownMax = 3): string {
  const more = items.length - shownMax;
  return items.slice(0, shownMax).join(', ') + (more > 0 ? ` and ${number(more)} more` : '');
}

/** Unreadable rows that are shown; a file that is no such file at all should not fill the screen. */
const unreadableShownMax = 10;

export function heading(): string {
  return `\n  ${styled('bold', 'Skiplease payments demo')}\n`;
}

export function fact(name: string, text: string): string {
  return `  ${styled('dim', name.padEnd(12))} ${text}`;
}

export function unreadable(rows: readonly UnreadableRow[]): string {
  const shown = rows.slice(0, unreadableShownMax).map(({ line, problem }) => `    line ${line}: ${problem}`);
  if (rows.length > shown.length) shown.push(`    … and ${number(rows.length - shown.length)} more`);
  return [`  ${styled('yellow', '!')} ${plural(rows.length, 'row')} cannot be read, and ${rows.length === 1 ? 'was' : 'were'} not submitted:`, ...shown].join('\n');
}

export function killed(kill: Kill, references: readonly string[], endedPercent: number): string {
  const { worker, leases, jobIds } = kill;
  return `  ${styled('red', '✗')} SIGKILL to ${styled('bold', worker.child.name)} (pid ${worker.child.pid}) at ${endedPercent}%: `
    + `it left ${plural(jobIds.length, 'job')} in ${plural(leases.length, 'lease')}.\n`
    + `    leases: ${few(leases.map(({ leaseId }) => leaseId))}\n    jobs: ${few(references)}`;
}

export function replaced(kill: Kill, successor: Child): string {
  return `  ${styled('green', '+')} ${styled('bold', successor.name)} (pid ${successor.pid}) was started in the place of ${kill.worker.child.name}.`;
}

/** "demo-1 did 120 of the jobs, demo-3 80" */
function byWorker(redeliveries: readonly Redelivery[]): string {
  const counts = new Map<string, number>();
  for (const { worker } of redeliveries) counts.set(worker ?? 'nobody', (counts.get(worker ?? 'nobody') ?? 0) + 1);
  return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([worker, count], index) => `${worker} ${index === 0 ? `did ${number(count)} of the jobs` : number(count)}`).join(', ');
}

export function redelivered(kill: Kill, redeliveries: readonly Redelivery[], expiredAfterMs: number | undefined, listFile: string): string {
  const name = kill.worker.child.name;
  const others = redeliveries.filter(({ worker }) => worker !== kill.worker.id);
  const again = others.filter(({ attempt }) => (attempt ?? 0) > 1).length;
  const complete = redeliveries.length - others.length;
  const after = expiredAfterMs === undefined ? '' : ` after ${(expiredAfterMs / 1000).toFixed(1)} s`;
  const unstarted = others.length - again;
  return [
    `  ${styled('cyan', '↻')} Its leases ran out${after}. ${others.length === 0 ? 'Nothing was left to be done' : byWorker(others)}:`,
    `    ${number(again)} as a further attempt${unstarted === 0 ? '' : `, ${number(unstarted)} that had never reached it at no cost`}.`,
    complete === 0 ? `    What ${name} was at was rolled back: captures and completions together.`
      : `    ${number(complete)} more ${name} had captured and completed in one transaction, and could not report:\n    they were done, and stayed so.`,
    styled('dim', `    All of them are in ${listFile}`),
  ].join('\n');
}

export function dayEnd({ total, succeeded, failed, cancelled }: BatchCounts, existing: number): string {
  return `  ${styled('cyan', '∑')} The day's end, a batch of ${plural(total, 'statement')} that was watched to its end: ${succeeded} written and mailed,\n`
    + `    ${cancelled} called off by a filter, ${failed} failed (the bank was away). Submitted twice: ${existing} were there.`;
}

export function redriven(jobs: number, perSecond: number): string {
  return `  ${styled('cyan', '↻')} The bank is back: ${plural(jobs, 'failed statement')} driven again, ${perSecond} a second.`;
}

/** The list of what the dead worker left, as CSV. */
export function redeliveryList(kill: Kill, redeliveries: readonly Redelivery[]): string {
  const leaseOf = new Map(kill.leases.flatMap(({ leaseId, jobIds }) => jobIds.map((jobId) => [jobId, leaseId])));
  const lines = redeliveries.map(({ jobId, reference, line, attempt, worker, outcome, capturedBefore }) =>
    [jobId, JSON.stringify(reference), line, leaseOf.get(jobId), worker, attempt, outcome, capturedBefore].join(','));
  return `${['job_id,reference,line,lease_left,ended_by,attempt,outcome,captured_before_the_kill', ...lines].join('\n')}\n`;
}

export function invariants(all: readonly Invariant[]): string {
  return all.flatMap(({ title, held, measure, culprits }) => [
    held ? `  ${styled('green', '✓')} ${title} ${styled('dim', `(${measure})`)}` : `  ${styled('red', '✗')} ${styled('bold', `BROKEN: ${title}`)} (${measure})`,
    ...culprits.map((culprit) => `      ${culprit}`),
  ]).join('\n');
}

export function ending(all: readonly Invariant[], jobs: number, seconds: number): string {
  const broken = all.filter(({ held }) => !held).length;
  const pace = `${plural(jobs, 'job')} in ${seconds.toFixed(1)} s (${number(Math.round(jobs / seconds))}/s)`;
  return broken === 0
    ? `\n  ${styled(['green', 'bold'], 'All invariants held.')} ${pace}\n`
    : `\n  ${styled(['red', 'bold'], `${broken} of ${all.length} invariants ${broken === 1 ? 'is' : 'are'} BROKEN.`)} ${pace}\n`;
}
