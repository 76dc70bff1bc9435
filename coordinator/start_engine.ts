import type { Settings } from './config.ts';
import { RunningEngine } from './engine/running_engine.ts';
import { SkipleaseError } from './errors.ts';
import type { Log } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';
import { tickedJob } from './rpc/check_schedule.ts';
import { cancelJobs } from './store/cancel_jobs.ts';
import { databaseId } from './store/database_id.ts';
import { expireStarts } from './store/expire_starts.ts';
import { History, type Timeline } from './store/history.ts';
import { migrate } from './store/migrate.ts';
import type { Pool } from './store/pool.ts';
import { queueDepths } from './store/queue_depths.ts';
import { Store } from './store/store.ts';
import type { Retention } from './types.ts';
import { lineOf } from './wakeups/open_line.ts';

/** What an engine works with. */
export interface EngineSurroundings {
  databaseUrl: string;
  pool: Pool;
  settings: Settings;
  /** Where gRPC is served. */
  address: string;
  metrics: Metrics;
  log: Log;
  /** Called whenever the database is found in another history: store/history.ts. */
  replaced: () => void;
}

/** Brings the schema up to date, and starts an engine that remembers nothing from before. Rejects with an error that says what to do. */
export async function startEngine({ databaseUrl, pool, settings, address, metrics, log, replaced }: EngineSurroundings): Promise<RunningEngine> {
  const timeline = await migrateDatabase(databaseUrl, settings.retentionDays);
  const store = new Store(databaseUrl, log, (statement, _seconds, failed) => {
    metrics.statements(statement);
    if (!failed) {
      metrics.commits(statement);
    }
  }, retentionOf(settings), new History(timeline, replaced));
  const engine = new RunningEngine({
    store,
    metrics,
    leaseTtlMs: settings.leaseTtlMs,
    tickMs: settings.tickMs,
    drainDeadlineMs: settings.drainDeadlineMs,
    rebalanceMs: settings.rebalanceMs,
    address: settings.advertisedAddress ?? address,
    clientLimits: { waitingJobsMax: settings.clientWaitingJobsMax, jobsPerSecond: settings.clientJobsPerSecond },
    cancelJobs: (ids, reason, committed) => cancelJobs(pool, ids, reason, committed),
    readJob: (job) => tickedJob(job, settings.payloadBytesMax),
    openLine: lineOf(settings, { url: databaseUrl, id: await databaseId(pool) }, log),
  });
  engine.queueDepths = async () => (await queueDepths(pool, undefined)).map(({ oldestReadyAgeMs, ...depth }) => ({
    ...depth,
    blocked: { dependency: depth.blockedByDependency, serial_key: depth.blockedBySerialKey, limit_key: depth.blockedByLimitKey },
    oldestReadyAgeSeconds: oldestReadyAgeMs === null ? undefined : oldestReadyAgeMs / 1_000,
  }));
  engine.expireStarts = () => expireStarts(pool, (commit, reason) => engine.jobsCancelled(commit, reason));
  try {
    await engine.start();
  } catch (error) {
    await engine.abandon();
    throw error;
  }
  return engine;
}

/** Brings the schema up to date. Returns the history that the database goes on with; rejects with an error that says what to do. */
export function migrateDatabase(databaseUrl: string, retentionDays: number): Promise<Timeline> {
  return migrate(databaseUrl, retentionDays).catch((error: unknown) => {
    throw cannotUse(databaseUrl, error);
  });
}

/** An error that says which database, without its password, and what to set. */
function cannotUse(databaseUrl: string, error: unknown): unknown {
  if (error instanceof SkipleaseError || !(error instanceof Error)) {
    return error;
  }
  const { host, pathname } = new URL(databaseUrl);
  const { code } = error as { code?: string };
  return new SkipleaseError('UNAVAILABLE', 'DATABASE_UNREACHABLE',
    `Cannot use the PostgreSQL database ${host}${pathname}: ${error.message || code}. `
      + 'Check that it runs and that DATABASE_URL is right.', { cause: error });
}

/** How long jobs are kept, as it is set. */
export function retentionOf({ retentionDays, failedRetentionDays }: Settings): Retention {
  return { days: retentionDays, failedDays: failedRetentionDays };
}
