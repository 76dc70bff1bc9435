import type { StatementCount } from '../database/statement_log.ts';
import { totalCalls } from '../database/statement_log.ts';
import type { HandOffResult } from '../scenarios/hand_off_writes.ts';
import type { IdleResult } from '../scenarios/idle_sessions.ts';

const QUERY_CHARACTERS = 100;

/** Every statement that was counted, so that whoever doubts the sum can add it up. */
export function renderStatements(results: {
  idle: IdleResult;
  withSessions: IdleResult;
  handOff: HandOffResult;
}): string {
  const { idle, withSessions, handOff } = results;
  const { inserts, wal } = handOff;
  const rows = Object.entries(inserts).map(([table, count]) => `${table} ${count}`);
  return [
    ...listing(`no session, over ${idle.heartbeats} heartbeats`, idle.statements),
    ...listing(`${withSessions.sessions} idle sessions, over ${withSessions.heartbeats} heartbeats`, withSessions.statements),
    ...listing(`${handOff.delivery.expected} jobs handed off`, handOff.statements),
    `  rows inserted: ${rows.join(', ')}; ${wal.commits} commits, ` +
      `${Math.round((wal.bytes - wal.fullPageBytes) / handOff.delivery.expected)} WAL bytes per job`,
  ].join('\n');
}

/** A title with the sum, and a line for each of the most frequent statements: calls, time in PostgreSQL, text. */
export function listing(title: string, statements: StatementCount[], lines = Infinity): string[] {
  return [
    `${title}: ${totalCalls(statements)} statements`,
    ...statements
      .slice(0, lines)
      .map(({ calls, totalMs, query }) => `  ${String(calls).padStart(6)}  ${totalMs.toFixed(0).padStart(6)} ms  ${shorten(query, QUERY_CHARACTERS)}`),
  ];
}

/** A statement on one line, its end left out when it is long. */
export function shorten(query: string, characters: number): string {
  const line = query.replaceAll(/\s+/g, ' ').trim();
  return line.length > characters ? `${line.slice(0, characters - 1)}…` : line;
}
