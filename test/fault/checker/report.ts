import { eventsOf, type Facts } from './facts.ts';
import type { Verdict } from './check.ts';
import { CANCELLED, FAILED, SUCCEEDED } from './rows.ts';
import { RULES } from './rules/index.ts';
import type { Violation } from './violation.ts';

/** Violations of one rule that are printed with their whole history; the rest are counted. */
const PRINTED_MAX = 2;

/** For people: what was seen, and each violation with the whole history of its job. */
export function describeVerdict({ facts, violations }: Verdict): string {
  const printed = [...Map.groupBy(violations, ({ rule }) => rule).values()].flatMap((of) => of.slice(0, PRINTED_MAX));
  return [describeFacts(facts), ...printed.map((violation) => describeViolation(violation, facts)), describeCounts(violations)].join('\n');
}

/** A run in which little happened proves little: what did. */
function describeFacts({ jobs, rows, told, grants }: Facts): string {
  const ended = (state: number): number => rows.outcome.filter((row) => row.state === state).length;
  const expired = rows.attempt.filter(({ state }) => state === 2);
  const receipts = new Map<string, number>();
  for (const { jobs: statuses } of eventsOf(told, 'receipt')) {
    for (const [, status] of statuses) receipts.set(status, (receipts.get(status) ?? 0) + 1);
  }
  const resumed = eventsOf(told, 'welcome').reduce((sum, welcome) => sum + welcome.resumed.length, 0);
  return [
    `${rows.job.length} jobs: ${ended(SUCCEEDED)} succeeded, ${ended(FAILED)} failed, ${ended(CANCELLED)} cancelled`,
    `${grants.size} leases, ${resumed} resumed; ${expired.length} attempts ran out (${new Set(expired.map(({ leaseId }) => leaseId)).size} leases), ${rows.attempt.length - expired.length} failed`,
    `receipts: ${[...receipts].map(([status, count]) => `${count} ${status}`).join(', ')}`,
    `${eventsOf(told, 'strike').length} strikes; ${eventsOf(told, 'up').length} starts of processes; ${told.length} events of ${jobs.size} jobs`,
  ].join('\n');
}

function describeViolation({ rule, jobId, what }: Violation, { jobs }: Facts): string {
  const lines = [`\nVIOLATION of '${rule}': ${jobId === undefined ? what : `job ${jobId} ${what}`}`];
  const job = jobId === undefined ? undefined : jobs.get(jobId);
  if (job === undefined) return lines.join('\n');
  const { row, outcome, attempts, holds, ledger, told } = job;
  for (const [name, value] of Object.entries({ job: row, outcome, attempts, ledger })) lines.push(`  ${name.padEnd(9)} ${JSON.stringify(value)}`);
  const seen = [
    ...holds.flatMap(({ grant, attempt, from, until }) => [
      { at: from, line: `database: lease ${grant.token} holds it as attempt ${attempt} for session ${grant.sessionId}` },
      { at: until, line: `database: lease ${grant.leaseId} holds it no longer` },
      ...grant.moves.map(({ at, sessionId }) => ({ at, line: `database: lease ${grant.leaseId} goes over to session ${sessionId}` })),
    ]),
    ...told.map(({ at, by, ...event }) => ({ at, line: `${by}: ${about(event, job.id)}` })),
  ];
  for (const { at, line } of seen.sort((a, b) => a.at - b.at)) lines.push(`  ${at.toFixed(3)} ${line}`);
  return lines.join('\n');
}

/** Messages name many jobs: the neighbours are left out. */
function about(event: object, jobId: string): string {
  return JSON.stringify(event, (_name, value: unknown) =>
    Array.isArray(value) && value.length > 1 && value.some((one) => named(one, jobId)) && !value.includes(jobId) ? value.filter((one) => named(one, jobId)) : value);
}

function named(value: unknown, jobId: string): boolean {
  return JSON.stringify(value).includes(jobId);
}

/** Rules are what is counted, as tests are: the last line says how many held, and how many did not. */
function describeCounts(violations: readonly Violation[]): string {
  const counts = Map.groupBy(violations, ({ rule }) => rule);
  const lines = RULES.map(({ name, holds }) => `${counts.has(name) ? `BROKEN ${counts.get(name)!.length} times` : 'held'}: ${name} (${holds})`);
  return ['', ...lines, `${RULES.length - counts.size} passed, ${counts.size} failed`].join('\n');
}
