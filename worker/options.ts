import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { ChannelCredentials } from '@grpc/grpc-js';
import { z } from 'zod';
import type { QueueSubscription } from '../proto/gen/skiplease/v1/worker_service.ts';
import type { PayloadCodec } from './codec/codec.ts';
import type { DatabasePool } from './database/pool.ts';
import type { BatchHandler, Handler } from './handler.ts';
import { defaultLogger } from './logger.ts';
import type { Logger } from './logger.ts';
import { receiveBytesMaxDefault } from './wire/channel.ts';
import { channelSecurity, securitySchema } from './wire/security.ts';
import type { ChannelSecurity, SecurityOptions } from './wire/security.ts';

/** What a Worker is made with. */
export interface WorkerOptions extends SecurityOptions {
  /** Coordinators, `host:port`. Tried in turn; the worker talks to one at a time. */
  addresses: readonly string[];
  /** 1 to 10,000 queues, by name or with a cap of their own within the window. */
  queues: readonly (string | { queue: string; jobsMax?: number })[];
  /** By job type: one job at a time. */
  handlers?: Readonly<Record<string, Handler>>;
  /** By job type: all jobs of a lease at once. A type has one kind of handler or the other. */
  batchHandlers?: Readonly<Record<string, BatchHandler>>;
  /** How many handlers (or batches) run at once. Default 8. */
  concurrency?: number;
  /**
   * How many jobs, and bytes of payload, this worker holds at once. Default: twice the concurrency, and with batch
   * handlers at least 1,000 jobs (two leases of the default size); 64 MiB.
   */
  window?: { jobs?: number; bytes?: number };
  /**
   * The largest message that is taken, in bytes. Default 16 MiB; at least 128 KiB more than the coordinators' largest
   * payload.
   */
  receiveBytesMax?: number;
  /** A label for people. Default `hostname:pid`. */
  workerId?: string;
  /** At stop: how long running handlers may go on before they are told to end, in milliseconds. Default 30,000. */
  drainDeadlineMs?: number;
  /** How long a handler may ignore its signal, in milliseconds, before its job is reported without it. Default 1,000. */
  timeoutGraceMs?: number;
  /** Stop on SIGTERM and SIGINT; a second one exits at once. Default true. */
  handleSignals?: boolean;
  /**
   * For `context.transaction`: a pool of node-postgres (`new pg.Pool(...)`) on the database that the coordinators have
   * their jobs in, of a role that was granted skiplease_worker. It is not closed by the worker.
   */
  database?: DatabasePool;
  /** Default: pino, JSON lines on stdout. */
  logger?: Logger;
  /** Reads payloads and checkpoints before handlers see them, writes results, checkpoints and follow-ups. Default: as they are. */
  codec?: PayloadCodec;
  /** Of grpc-js, instead of `tls`. */
  credentials?: ChannelCredentials;
}

/** WorkerOptions, checked and complete. */
export interface WorkerSettings {
  addresses: readonly string[];
  queues: readonly QueueSubscription[];
  handlers: ReadonlyMap<string, Handler>;
  batchHandlers: ReadonlyMap<string, BatchHandler>;
  concurrency: number;
  windowJobs: number;
  /** 0: the coordinator's default, 64 MiB. */
  windowBytes: number;
  receiveBytesMax: number;
  workerId: string;
  instanceId: string;
  drainDeadlineMs: number;
  timeoutGraceMs: number;
  handleSignals: boolean;
  database: DatabasePool | undefined;
  logger: Logger;
  codec: PayloadCodec | undefined;
  security: ChannelSecurity;
}

const concurrencyDefault = 8;
const batchWindowJobs = 1_000;
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._\-:/]{0,127}$/, '1 to 128 letters, digits and . _ - : /');
const jobs = z.int().min(0).max(100_000);
const milliseconds = z.number().min(0).max(2 ** 31 - 1);
const functions = z.record(name, z.custom((value) => typeof value === 'function', 'must be a function'));

export const codecSchema = z.custom<PayloadCodec>((value) => {
  const { encode, decode } = (value ?? {}) as Partial<PayloadCodec>;
  return typeof encode === 'function' && typeof decode === 'function';
}, 'must have the functions encode and decode').optional();

const schema = z.strictObject({
  addresses: z.array(z.string().min(1)).min(1),
  queues: z.array(z.union([name, z.strictObject({ queue: name, jobsMax: jobs.optional() })])).min(1).max(10_000),
  handlers: functions.optional(),
  batchHandlers: functions.optional(),
  concurrency: z.int().min(1).max(100_000).optional(),
  window: z.strictObject({ jobs: jobs.min(1).optional(), bytes: z.int().min(0).max(2 ** 30).optional() }).optional(),
  receiveBytesMax: z.int().min(65_536).max(2 ** 31 - 1).optional(),
  workerId: z.string().min(1).max(128).optional(),
  drainDeadlineMs: milliseconds.optional(),
  timeoutGraceMs: milliseconds.optional(),
  handleSignals: z.boolean().optional(),
  database: z.custom((value) => typeof (value as DatabasePool | null)?.connect === 'function', 'must be a pool of node-postgres').optional(),
  logger: z.custom((value) => typeof value === 'object' && value !== null, 'must be a logger').optional(),
  codec: codecSchema,
  ...securitySchema,
  credentials: z.instanceof(ChannelCredentials).optional(),
});

/** Throws TypeError that names each bad option. */
export function settingsFrom(options: WorkerOptions): WorkerSettings {
  const checked = schema.safeParse(options);
  if (!checked.success) throw new TypeError(`these worker options cannot be used:\n${z.prettifyError(checked.error)}`);
  const handlers = new Map(Object.entries(options.handlers ?? {}));
  const batchHandlers = new Map(Object.entries(options.batchHandlers ?? {}));
  const both = [...handlers.keys()].find((type) => batchHandlers.has(type));
  if (both !== undefined) throw new TypeError(`${both} has a handler and a batch handler: which one should run?`);
  const concurrency = options.concurrency ?? concurrencyDefault;
  return {
    addresses: [...options.addresses],
    queues: options.queues.map((queue) =>
      typeof queue === 'string' ? { queue, jobsMax: 0 } : { queue: queue.queue, jobsMax: queue.jobsMax ?? 0 },
    ),
    handlers,
    batchHandlers,
    concurrency,
    windowJobs: options.window?.jobs ?? Math.max(2 * concurrency, batchHandlers.size > 0 ? batchWindowJobs : 1),
    windowBytes: options.window?.bytes ?? 0,
    receiveBytesMax: options.receiveBytesMax ?? receiveBytesMaxDefault,
    workerId: options.workerId ?? `${hostname()}:${process.pid}`.slice(-128),
    instanceId: randomUUID(),
    drainDeadlineMs: options.drainDeadlineMs ?? 30_000,
    timeoutGraceMs: options.timeoutGraceMs ?? 1_000,
    handleSignals: options.handleSignals ?? true,
    database: options.database,
    logger: options.logger ?? defaultLogger(),
    codec: options.codec,
    security: channelSecurity(options),
  };
}
