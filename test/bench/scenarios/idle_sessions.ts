import { join } from 'node:path';
import type { FleetMethods } from '../roles/methods.ts';
import { RoleProcess } from '../roles/role_process.ts';
import { withAdmin, type BenchDatabase } from '../database/server.ts';
import { readStatements, statementsBetween, totalCalls, type StatementCount } from '../database/statement_log.ts';
import { startCoordinator } from '../../support/coordinator.ts';
import type { BenchContext } from './context.ts';
import { waitFor } from './wait_for.ts';

/** Idle workers, and heartbeats of the coordinator to count over. */
export const IDLE_SESSIONS = 200;
export const TICKS = 10;

/** The coordinator's heartbeat: the statement that renews its own row. */
const HEARTBEAT = /update skiplease\.coordinator set expires_at/i;
/** What a worker that connects makes its coordinator say. */
const HELLO = /insert into skiplease\.session/i;
const DEADLINE_MS = 60_000;

/** What an idle system says to its database over ten heartbeats. */
export interface IdleResult {
  sessions: number;
  /** Over exactly ten heartbeats, the tenth included. */
  statements: StatementCount[];
  heartbeats: number;
}

/** Starts a coordinator on an empty database, connects that many idle workers, and counts its statements. */
export async function idleSessions(context: BenchContext, sessions: number): Promise<IdleResult> {
  const { server } = context;
  const database = await server.createDatabase(`idle_${sessions}`);
  const coordinator = await startCoordinator({ databaseUrl: database.contestantUrl });
  const fleet = new RoleProcess<FleetMethods>('fleet', join(import.meta.dirname, '../skiplease/fleet.ts'));
  try {
    await fleet.call('open', { address: coordinator.grpcAddress, sessions });
    await waitFor(`${sessions} sessions`, DEADLINE_MS, () => sessionsReached(database, sessions));
    const start = await hellosOver(context, database);
    const before = await readStatements(server.admin, database.name);
    await nextHeartbeat(context, database, TICKS, start);
    const statements = statementsBetween(before, await readStatements(server.admin, database.name));
    const heartbeats = statements.find(({ query }) => HEARTBEAT.test(query))?.calls ?? 0;
    await fleet.call('close');
    return { sessions, statements, heartbeats };
  } finally {
    await fleet.stop();
    await coordinator.stop();
    await server.dropDatabase(database);
  }
}

async function sessionsReached(database: BenchDatabase, sessions: number): Promise<true | undefined> {
  const { rows } = await withAdmin(database, (client) =>
    client.query<{ count: number }>('SELECT count(*)::int AS count FROM skiplease.session'),
  );
  return rows[0]!.count === sessions || undefined;
}

/** Waits for two heartbeats without a hello between them: what comes then is what idling costs. */
async function hellosOver(context: BenchContext, database: BenchDatabase): Promise<number> {
  const deadline = performance.now() + DEADLINE_MS;
  let heartbeats = await nextHeartbeat(context, database, 1);
  for (let hellos = -1; ; ) {
    const statements = await readStatements(context.server.admin, database.name);
    const now = totalCalls([...statements.values()].filter(({ query }) => HELLO.test(query)));
    if (now === hellos) return heartbeats;
    if (performance.now() > deadline) throw new Error('idle workers keep connecting again');
    hellos = now;
    heartbeats = await nextHeartbeat(context, database, 2, heartbeats);
  }
}

/** Waits until the coordinator has sent so many more heartbeats than `from` (than now, when left out). */
async function nextHeartbeat(
  context: BenchContext,
  database: BenchDatabase,
  more: number,
  from?: number,
): Promise<number> {
  const count = async () => {
    const statements = await readStatements(context.server.admin, database.name);
    return [...statements.values()].find(({ query }) => HEARTBEAT.test(query))?.calls ?? 0;
  };
  const target = (from ?? (await count())) + more;
  return waitFor(`${more} heartbeats`, DEADLINE_MS, async () => {
    const calls = await count();
    return calls >= target ? calls : undefined;
  });
}
