import { totalCalls, type StatementCount } from '../database/statement_log.ts';
import { check, type Check } from '../report/checks.ts';
import { renderStatements } from '../report/statements_text.ts';
import type { Scenario } from '../scenario.ts';
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

/** Counted, not timed. */
export const statements: Scenario = {
  name: 'statements',
  async run(context) {
    const result = await runStatements(context);
    return { figures: [], texts: [renderStatements(result)], checks: result.checks, raw: result };
  },
};

/** Idle without a worker, idle with 200 of them, and 1,000 jobs handed off. */
async function runStatements(context: BenchContext): Promise<StatementsResult> {
  // Side by side, each on a database of its own: idling takes time, and nothing else.
  const [idle, withSessions] = await Promise.all([idleSessions(context, 0), idleSessions(context, IDLE_SESSIONS)]);
  context.say(`statements  no session, ${TICKS} heartbeats: ${totalCalls(idle.statements)} statements`);
  const heading = `${IDLE_SESSIONS} idle sessions, ${TICKS} heartbeats`;
  context.say(`statements  ${heading}: ${totalCalls(withSessions.statements)} statements`);
  const handOff = await handOffWrites(context);
  const tries = handOff.throughReady.join(', then ');
  context.say(`statements  ${HANDED_OFF_JOBS} jobs handed off: ${tries} of them went through ready`);
  const besides = moreThan(idle, withSessions);
  const { inserts } = handOff;
  return {
    idle,
    withSessions,
    handOff,
    checks: [
      check(
        `${IDLE_SESSIONS} idle sessions over ${TICKS} heartbeats cost those ${TICKS} statements and no other`,
        withSessions.heartbeats === TICKS && besides.length === 0,
        `heartbeats ${withSessions.heartbeats}; more than without a session: ${JSON.stringify(besides)}`,
      ),
      check(
        `${HANDED_OFF_JOBS} jobs handed off are never in ready`,
        // That job and outcome were seen shows that the log was read rightly.
        inserts.ready === 0 && inserts.job > 0 && inserts.outcome > 0,
        `${JSON.stringify(inserts)}; through ready in each try: ${tries}`,
      ),
      check(
        `${HANDED_OFF_JOBS} jobs handed off are handled exactly once`,
        handOff.exact,
        JSON.stringify(handOff.delivery),
      ),
    ],
  };
}

/** Housekeeping that runs each five seconds at most falls so often into ten heartbeats, with sessions or without. */
const HOUSEKEEPING_CALLS_MAX = 3;

/** Statements that sessions add to what a coordinator without any says as well: two hundred of them would show in any count. */
function moreThan(idle: IdleResult, withSessions: IdleResult): StatementCount[] {
  const without = new Map(idle.statements.map(({ query, calls }) => [query, calls]));
  return withSessions.statements
    .map(({ query, calls, totalMs }) => ({ query, totalMs, calls: calls - (without.get(query) ?? 0) }))
    .filter(({ calls }) => calls > HOUSEKEEPING_CALLS_MAX);
}
