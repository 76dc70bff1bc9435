import type { Settings } from './config.ts';
import { startEmbeddedPostgres } from './embedded/index.ts';
import { RunningEngine } from './engine/start.ts';
import { SkipleaseError } from './errors.ts';
import { startHttp } from './observe/http.ts';
import type { Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import type { Metrics } from './observe/metrics.ts';
import { banner } from './banner.ts';
import { leaseStream } from './rpc/lease_stream.ts';
import { serveProbes } from './rpc/probes.ts';
import { bindServer } from './rpc/server.ts';
import type { GrpcServer } from './rpc/server.ts';
import { tickedJob } from './rpc/check_schedule.ts';
import { StatusMapper } from './rpc/status.ts';
import { HttpTokens } from './security/http_tokens.ts';
import { openCredentials, openGuard, warnOfExposure } from './secure.ts';
import type { Shutdown } from './shutdown.ts';
import { cancelJobs } from './store/cancel_jobs.ts';
import { databaseId } from './store/database_id.ts';
import { expireStarts } from './store/expire_starts.ts';
import { migrate } from './store/migrate.ts';
import { openPool } from './store/pool.ts';
import type { Pool } from './store/pool.ts';
import { queueDepths } from './store/queue_depths.ts';
import { Store } from './store/store.ts';
import type { Retention } from './types.ts';
import { lineOf } from './wakeups/open_line.ts';

/** Calls that are still open once the workers are gone get so long: milliseconds. */
const LAST_CALLS_MS = 1_000;

/**
 * Starts everything, ports first: a taken one is known before a database is touched. Resolves when it is ready; how each
 * part is stopped is left with `shutdown`. Rejects with an error that says what to do.
 */
export async function startCoordinator(settings: Settings, log: Log, shutdown: Shutdown): Promise<void> {
  const metrics = createMetrics();
  const statuses = new StatusMapper(log, metrics.error);
  let notReady = (): string | undefined => 'starting';
  warnOfExposure(settings, log);
  const httpTokens = settings.httpTokenFile === undefined ? undefined
    : await shutdown.step('HTTP token', () => HttpTokens.open(settings.httpTokenFile!, log), async (tokens) => tokens.close());
  const { healthAddress } = settings;
  if (healthAddress !== undefined) {
    await shutdown.step('probes', () => serveProbes(healthAddress, () => notReady()), (probes) => probes.stop());
  }
  const http = await shutdown.step('http',
    () => startHttp(settings.httpAddress, { metrics, notReady: () => notReady(), tokens: httpTokens }), (server) => server.stop());
  const credentials = await openCredentials(settings, log, shutdown);
  const guard = await openGuard(settings, statuses, log, shutdown);
  const server = await shutdown.step('gRPC', () => bindServer({
    address: settings.grpcAddress, receiveBytesMax: settings.receiveBytesMax, reflection: settings.reflection, credentials, guard,
  }, statuses), (bound) => bound.stop(LAST_CALLS_MS));
  const database = await openDatabase(settings, log, shutdown);
  await migrateDatabase(database.url, settings.retentionDays);
  const pool = await shutdown.step('connection pool', () => openPool(database.url), (opened) => opened.end());
  const engine = await startEngine(database.url, pool, settings, server.address, metrics, log, shutdown);
  server.open({
    engine,
    pool,
    payloadBytesMax: settings.payloadBytesMax,
    retention: retentionOf(settings),
    depths: metrics.queueDepths,
    lease: leaseStream({ ...settings, engine, statuses }),
  });
  await shutdown.step('readiness', async () => {
    notReady = () => (engine.standing.silentMs > settings.leaseTtlMs ? 'database away' : undefined);
  }, async () => {
    notReady = () => 'draining';
    server.drain();
  });
  shutdown.started();
  announce(engine, server, http.address, database, log);
}

/**
 * Brings the database to this version and ends, with nothing else started: a step before a rollout, under no probe's deadline. Any number
 * may run at once, also beside coordinators.
 */
export async function migrateOnly(settings: Settings, log: Log): Promise<void> {
  if (settings.databaseUrl === undefined) {
    throw new SkipleaseError('INVALID_ARGUMENT', 'INVALID_SETTING', 'There is no database to migrate: set DATABASE_URL.');
  }
  await migrateDatabase(settings.databaseUrl, settings.retentionDays);
  log.info({ event: 'migrated' }, 'the database has the schema of this version');
}

async function migrateDatabase(url: string, retentionDays: number): Promise<void> {
  await migrate(url, retentionDays).catch((error: unknown) => {
    throw cannotUse(url, error);
  });
}

interface Database {
  url: string;
  kind: 'embedded' | 'external';
  /** Where an embedded one's URL is written. */
  urlFile: string | undefined;
  dataFolder: string | undefined;
}

async function openDatabase(settings: Settings, log: Log, shutdown: Shutdown): Promise<Database> {
  if (settings.databaseUrl !== undefined) {
    return { url: settings.databaseUrl, kind: 'external', urlFile: undefined, dataFolder: undefined };
  }
  const { url, urlFile, dataFolder } = await shutdown.step('embedded PostgreSQL',
    () => startEmbeddedPostgres({ dataFolder: settings.dataDirectory, log }), (postgres) => postgres.stop());
  return { url, kind: 'embedded', urlFile, dataFolder };
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

function startEngine(
  databaseUrl: string, pool: Pool, settings: Settings, address: string, metrics: Metrics, log: Log, shutdown: Shutdown,
): Promise<RunningEngine> {
  return shutdown.step('engine', async () => {
    const store = new Store(databaseUrl, log, (statement, _seconds, failed) => {
      metrics.statements(statement);
      if (!failed) {
        metrics.commits(statement);
      }
    }, retentionOf(settings));
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
    await engine.start();
    return engine;
  }, (engine) => engine.stop());
}

function retentionOf({ retentionDays, failedRetentionDays }: Settings): Retention {
  return { days: retentionDays, failedDays: failedRetentionDays };
}

/** The one line that whoever started this process waits for. */
function announce(engine: RunningEngine, server: GrpcServer, httpAddress: string, database: Database, log: Log): void {
  log.info({
    event: 'ready',
    coordinator_id: engine.coordinatorId,
    grpc_address: server.address,
    http_address: httpAddress,
    database: database.kind,
    ...(database.urlFile === undefined ? {} : { database_url_file: database.urlFile }),
  }, 'ready');
  if (process.stdout.isTTY) {
    process.stdout.write(banner({ grpcAddress: server.address, httpAddress, dataFolder: database.dataFolder }));
  }
}
