import type { Settings } from './config.ts';
import { startEmbeddedPostgres } from './embedded/index.ts';
import { EngineKeeper } from './engine_keeper.ts';
import type { RunningEngine } from './engine/running_engine.ts';
import { SkipleaseError } from './errors.ts';
import { asksWhoCalls } from './exposure.ts';
import { startHttp } from './observe/http.ts';
import type { Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { banner } from './banner.ts';
import { leaseStream } from './rpc/lease_stream.ts';
import { serveProbes } from './rpc/probes.ts';
import { bindServer } from './rpc/server.ts';
import type { GrpcServer } from './rpc/server.ts';
import { StatusMapper } from './rpc/status.ts';
import { HttpTokens } from './security/http_tokens.ts';
import { openCredentials, openGuard, warnOfExposure } from './secure.ts';
import type { Shutdown } from './shutdown.ts';
import { migrateDatabase, retentionOf, startEngine } from './start_engine.ts';
import { openPool } from './store/pool.ts';

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
    address: settings.grpcAddress, receiveBytesMax: settings.receiveBytesMax, clientBytesMax: settings.clientBytesMax, reflection: settings.reflection,
    credentials, guard,
  }, statuses, log), (bound) => bound.stop(LAST_CALLS_MS));
  const database = await openDatabase(settings, log, shutdown);
  // Opens its connections when they are needed, as does everything that asks it.
  const pool = await shutdown.step('connection pool', () => openPool(database.url), (opened) => opened.end());
  const keeper = new EngineKeeper({
    start: (replaced) => startEngine({ databaseUrl: database.url, pool, settings, address: server.address, metrics, log, replaced }),
    open: (engine) => server.open({
      engine,
      pool,
      payloadBytesMax: settings.payloadBytesMax,
      retention: retentionOf(settings),
      depths: metrics.queueDepths,
      lease: leaseStream({ ...settings, engine, statuses }),
    }),
    close: () => server.close(),
    log,
  });
  const engine = await shutdown.step('engine', () => keeper.start(), () => keeper.stop());
  await shutdown.step('readiness', async () => {
    notReady = () => troubleOf(keeper.engine, settings.leaseTtlMs);
  }, async () => {
    notReady = () => 'draining';
    server.drain();
  });
  shutdown.started();
  announce(engine, server, http.address, database, settings, log);
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

/** Why nobody should be sent here; undefined: there is no reason. */
function troubleOf(engine: RunningEngine | undefined, silentMsMax: number): string | undefined {
  if (engine === undefined) {
    return 'starting over';
  }
  return engine.standing.silentMs > silentMsMax ? 'database away' : undefined;
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

/** The one line that whoever started this process waits for. */
function announce(engine: RunningEngine, server: GrpcServer, httpAddress: string, database: Database, settings: Settings, log: Log): void {
  log.info({
    event: 'ready',
    coordinator_id: engine.coordinatorId,
    grpc_address: server.address,
    http_address: httpAddress,
    database: database.kind,
    ...(database.urlFile === undefined ? {} : { database_url_file: database.urlFile }),
  }, 'ready');
  if (process.stdout.isTTY) {
    process.stdout.write(banner({
      grpcAddress: server.address, httpAddress, dataFolder: database.dataFolder, asksWhoCalls: asksWhoCalls(settings), tls: settings.tlsCertFile !== undefined,
    }));
  }
}
