import type { StatementCount } from '../database/statement_log.ts';
import { totalCalls } from '../database/statement_log.ts';
import { HANDED_OFF_JOBS } from '../scenarios/hand_off_writes.ts';
import { TICKS } from '../scenarios/idle_sessions.ts';
import type { StatementsResult } from '../scenarios/statements.ts';

const QUERY_CHARACTERS = 100;

/** Every statement that was counted, so that whoever doubts the sum can add it up. */
export function renderStatements({ idle, withSessions, handOff }: StatementsResult): string {
  const { inserts, wal } = handOff;
  const rows = Object.entries(inserts).map(([table, count]) => `${table} ${count}`);
  return [
    ...listing(`no session, over ${TICKS} heartbeats`, idle.statements),
    ...listing(`${withSessions.sessions} idle sessions, over ${TICKS} heartbeats`, withSessions.statements),
    ...listing(`${HANDED_OFF_JOBS} jobs handed off`, handOff.statements),
    `  rows inserted: ${rows.join(', ')}; ${wal.commits} commits, ` +
      `${Math.round((wal.bytes - wal.fullPageBytes) / HANDED_OFF_JOBS)} WAL bytes per job`,
  ].join('\n');
}

function listing(title: string, statements: StatementCount[]): string[] {
  return [
    `${title}: ${totalCalls(statements)} statements`,
    ...statements.map(({ calls, query }) => `  ${String(calls).padStart(6)}  ${shorten(query)}`),
  ];
}

function shorten(query: string): string {
  const line = query.replaceAll(/\s+/g, ' ').trim();
  return line.length > QUERY_CHARACTERS ? `${line.slice(0, QUERY_CHARACTERS - 1)}…` : line;
}
