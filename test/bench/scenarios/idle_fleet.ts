import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetMethods } from '../roles/methods.ts';
import { RoleProcess } from '../roles/role_process.ts';
import { postmasterPid } from '../database/meter.ts';
import { withAdmin, type BenchDatabase } from '../database/server.ts';
import { readStatements, statementsBetween, totalCalls, type StatementCount } from '../database/statement_log.ts';
import { readTableChurn } from '../database/table_churn.ts';
import { peakResidentBytes, processCpuMs, processTreeCpuMs, residentBytes } from '../measure/processes.ts';
import { check, type Check } from '../report/checks.ts';
import { spread } from '../measure/statistics.ts';
import { ourFigure, type Figure } from '../report/figure.ts';
import { listing } from '../report/statements_text.ts';
import type { Scenario } from '../scenario.ts';
import { startCoordinator } from '../../support/coordinator.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { waitFor } from './wait_for.ts';

const SESSIONS = 5_000;
const SESSIONS_QUICK = 200;
/** Workers in one process of the fleet. */
const SESSIONS_PER_PROCESS = 1_250;
/** How long idling is watched. Nothing else asks the server anything in that time. */
const WATCH_MS = 30_000;
const WATCH_MS_QUICK = 5_000;
/** Before it is watched: hellos are over, and all that they set off. */
const SETTLE_MS = 5_000;
const SETTLE_MS_QUICK = 1_000;
const DEADLINE_MS = 180_000;
const ROUNDS = 1;
const STATEMENTS_SHOWN = 8;

interface IdleFleetResult {
  sessions: number;
  connectMs: number;
  watchMs: number;
  /** Statements while all connected, while they idled, while all left. */
  hello: StatementCount[];
  idle: StatementCount[];
  bye: StatementCount[];
  /** Rows of session over the whole run. */
  sessionRows: { inserted: number; dead: number };
  /** Shares of a core while idle, in percent; `undefined` where they cannot be read. */
  postgresqlPercent: number | undefined;
  coordinatorPercent: number | undefined;
  residentBytes: number | undefined;
  peakResidentBytes: number | undefined;
  checks: Check[];
}

/** 5,000 workers connected to one coordinator, with nothing to do: what does that cost? And the same with none. */
export const idleFleet: Scenario = {
  name: 'idle-fleet',
  async run(context) {
    const many = context.options.quick ? SESSIONS_QUICK : SESSIONS;
    const subjects = [many, 0].map((sessions) => ({ name: `${sessions.toLocaleString('en-US')} workers`, sessions }));
    const { results, checks } = await interleaved(
      context,
      { label: 'idle-fleet', rounds: roundsOf(context, ROUNDS), subjects },
      ({ sessions }) => fleetRun(context, sessions),
      ({ connectMs, postgresqlPercent, residentBytes: bytes }) =>
        `connected in ${(connectMs / 1000).toFixed(1)} s, PostgreSQL ${postgresqlPercent?.toFixed(2)}% of a core, ${((bytes ?? 0) / 1e6).toFixed(0)} MB`,
    );
    const [fleet, none] = subjects.map(({ name }) => results[name]!) as [IdleFleetResult[], IdleFleetResult[]];
    const line = (id: string, label: string, digits: number, of: (run: IdleFleetResult) => number | undefined, runs = fleet) =>
      ourFigure(`idle-fleet/${id}`, label, digits, runs.map(of));
    const perWorker = (statements: StatementCount[]) => totalCalls(statements) / many;
    return {
      figures: [
        ...line('postgresql_percent', `idle-fleet: PostgreSQL, % of a core, ${subjects[0]!.name}`, 2, (run) => run.postgresqlPercent).map((figure) => ({ ...figure, heading: true })),
        ...line('postgresql_percent_none', '  PostgreSQL, % of a core, no worker', 2, (run) => run.postgresqlPercent, none),
        ...line('coordinator_percent', '  coordinator, % of a core', 2, (run) => run.coordinatorPercent),
        ...line('resident_mb', '  coordinator, MB resident', 0, (run) => megabytes(run.residentBytes)),
        ...line('peak_mb', '  coordinator, MB resident at most', 0, (run) => megabytes(run.peakResidentBytes)),
        ...line('connect_s', '  seconds until all were connected', 1, (run) => run.connectMs / 1000),
        ...line('hello_statements', '  statements per worker at hello', 3, (run) => perWorker(run.hello)),
        ...line('idle_statements', '  statements per second while idle, of all', 1, (run) => (1000 * totalCalls(run.idle)) / run.watchMs),
        ...line('idle_statements_none', '  the same with no worker', 1, (run) => (1000 * totalCalls(run.idle)) / run.watchMs, none),
        ...addedStatements(fleet, none),
        ...line('bye_statements', '  statements per worker at bye', 3, (run) => perWorker(run.bye)),
        ...line('hello_rows', '  rows per worker at hello', 2, (run) => run.sessionRows.inserted / many),
        ...line('bye_rows', '  rows left dead per worker at bye', 2, (run) => run.sessionRows.dead / many),
      ],
      texts: [fleet.at(-1)].filter((run) => run !== undefined).map(statementsText),
      checks,
      raw: results,
    };
  },
};

/** What the workers add to what a coordinator without any says each second. */
function addedStatements(fleet: IdleFleetResult[], none: IdleFleetResult[]): Figure[] {
  const rate = ({ idle, watchMs }: IdleFleetResult) => (1000 * totalCalls(idle)) / watchMs;
  if (fleet.length === 0 || none.length === 0) return [];
  const added = spread(fleet.map(rate)).median - spread(none.map(rate)).median;
  return ourFigure('idle-fleet/idle_statements_added', '  what the workers add to it', 1, [added]);
}

async function fleetRun(context: BenchContext, sessions: number): Promise<IdleFleetResult> {
  const { server, options } = context;
  const database = await server.createDatabase(`fleet_${sessions}`);
  const coordinator = await startCoordinator({ databaseUrl: database.contestantUrl });
  const fleets: RoleProcess<FleetMethods>[] = [];
  try {
    const said = () => readStatements(server.admin, database.name);
    const start = await said();
    const startMs = performance.now();
    for (let left = sessions; left > 0; left -= SESSIONS_PER_PROCESS) {
      const fleet = new RoleProcess<FleetMethods>('fleet', join(import.meta.dirname, '../skiplease/fleet.ts'));
      fleets.push(fleet);
      await fleet.call('open', { address: coordinator.grpcAddress, sessions: Math.min(left, SESSIONS_PER_PROCESS) });
    }
    await sessionsReach(database, sessions);
    const connectMs = performance.now() - startMs;
    await delay(options.quick ? SETTLE_MS_QUICK : SETTLE_MS);
    const connected = await said();

    const watchMs = options.quick ? WATCH_MS_QUICK : WATCH_MS;
    const stopWatch = await startWatch(context, coordinator.pid);
    await delay(watchMs);
    const shares = await stopWatch();
    const idled = await said();

    const live = residentBytes(coordinator.pid);
    const peak = peakResidentBytes(coordinator.pid);
    await Promise.all(fleets.map((fleet) => fleet.call('close')));
    await sessionsReach(database, 0);
    const left = await said();
    const logs = coordinator.logs.filter((line) => /"level":(40|50|60)/.test(line));
    await coordinator.stop();
    const session = (await withAdmin(database, readTableChurn)).find(({ table }) => table === 'skiplease.session');
    return {
      sessions,
      connectMs,
      watchMs,
      hello: statementsBetween(start, connected),
      idle: statementsBetween(connected, idled),
      bye: statementsBetween(idled, left),
      sessionRows: { inserted: session?.inserted ?? 0, dead: session?.dead ?? 0 },
      ...shares,
      residentBytes: live,
      peakResidentBytes: peak,
      checks: [check('the coordinator warns of nothing', logs.length === 0, logs.slice(0, 3).join('\n'))],
    };
  } finally {
    await Promise.all(fleets.map((fleet) => fleet.stop()));
    await coordinator.stop();
    await server.dropDatabase(database);
  }
}

/** CPU time of PostgreSQL and of the coordinator from now on, as percent of one core. */
async function startWatch({ server }: BenchContext, coordinatorPid: number) {
  const postmaster = await postmasterPid(server.admin);
  const look = () => ({
    atMs: performance.now(),
    postgresqlMs: postmaster && processTreeCpuMs(postmaster),
    coordinatorMs: processCpuMs(coordinatorPid),
  });
  const before = look();
  return async () => {
    const after = look();
    const percent = (from: number | undefined, to: number | undefined) =>
      from === undefined || to === undefined ? undefined : (100 * (to - from)) / (after.atMs - before.atMs);
    return {
      postgresqlPercent: percent(before.postgresqlMs, after.postgresqlMs),
      coordinatorPercent: percent(before.coordinatorMs, after.coordinatorMs),
    };
  };
}

async function sessionsReach(database: BenchDatabase, sessions: number): Promise<void> {
  await withAdmin(database, (client) =>
    waitFor(`${sessions} sessions`, DEADLINE_MS, async () => {
      const { rows } = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM skiplease.session');
      return rows[0]!.count === sessions || undefined;
    }),
  );
}

function megabytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / 1e6;
}

function statementsText({ sessions, hello, idle, bye }: IdleFleetResult): string {
  return [
    ...listing(`idle-fleet, hello of ${sessions} workers`, hello, STATEMENTS_SHOWN),
    ...listing('idle', idle, STATEMENTS_SHOWN),
    ...listing('bye', bye, STATEMENTS_SHOWN),
  ].join('\n');
}
