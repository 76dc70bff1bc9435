import { totalCalls } from '../database/statement_log.ts';
import { check, type Check } from '../report/checks.ts';
import type { BenchContext } from './context.ts';
import { HANDED_OFF_JOBS, handOffWrites, type HandOffResult } from './hand_off_writes.ts';
import { IDLE_SESSIONS, idleSessions, TICKS, type IdleResult } from './idle_sessions.ts';

/** What Skiplease says to its database, counted: figures that do not depend on the machine. */
export interface StatementsResult {
  idle: IdleResult;
  withSessions: IdleResult;
  handOff: HandOffResult;
  checks: Check[];
}

/** Idle without a worker, idle with 200 of them, and 1,000 jobs handed off. */
export async function runStatements(context: BenchContext): Promise<StatementsResult> {
  const idle = await idleSessions(context, 0);
  context.say(`statements  no session, ${TICKS} heartbeats: ${totalCalls(idle.statements)} statements`);
  const withSessions = await idleSessions(context, IDLE_SESSIONS);
  context.say(`statements  ${IDLE_SESSIONS} idle sessions, ${TICKS} heartbeats: ${totalCalls(withSessions.statements)} statements`);
  const handOff = await handOffWrites(context);
  context.say(`statements  ${HANDED_OFF_JOBS} jobs handed off: ${handOff.inserts.ready} rows went through ready`);
  const all = totalCalls(withSessions.statements);
  const { inserts } = handOff;
  return {
    idle,
    withSessions,
    handOff,
    checks: [
      check(
        `${IDLE_SESSIONS} idle sessions over ${TICKS} heartbeats cost ${TICKS} statements`,
        withSessions.heartbeats === TICKS && all === TICKS,
        `${all} statements, ${withSessions.heartbeats} of them heartbeats; without a session ${totalCalls(idle.statements)}`,
      ),
      check(
        `${HANDED_OFF_JOBS} jobs handed off are never in ready`,
        // That job and outcome were seen shows that the log was read rightly.
        inserts.ready === 0 && inserts.job > 0 && inserts.outcome > 0,
        JSON.stringify(inserts),
      ),
      check(`${HANDED_OFF_JOBS} jobs handed off are handled exactly once`, handOff.exact, JSON.stringify(handOff.delivery)),
    ],
  };
}
