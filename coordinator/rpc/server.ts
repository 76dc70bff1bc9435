import { Server } from '@grpc/grpc-js';
import type { handleBidiStreamingCall, ServerCredentials, UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { LeaseRequest, LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { formatAddress } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log } from '../observe/log.ts';
import type { Pool } from '../store/pool.ts';
import type { Retention } from '../types.ts';
import { batchService, batchServiceDefinition } from './batch_service.ts';
import { noSuchJob } from './check_names.ts';
import { Canceller } from './cancel.ts';
import type { CallGuard } from './call_guard.ts';
import { ClientMemory } from './client_memory.ts';
import { answerUnreadable, guardDecoding } from './decode_guard.ts';
import { externalScaler, externalScalerDefinition } from './external_scaler.ts';
import type { ReadDepths } from './external_scaler.ts';
import { Gate } from './gate.ts';
import { boundConnections, http2ServersOf, refuseCompressed } from './http2.ts';
import { jobService, jobServiceDefinition } from './job_service.ts';
import { bind, shutDown } from './listen.ts';
import { queueService, queueServiceDefinition } from './queue_service.ts';
import { reflection } from './reflection.ts';
import { scheduleService, scheduleServiceDefinition } from './schedule_service.ts';
import type { StatusMapper } from './status.ts';
import { submitStreams } from './stream_submit.ts';
import { SubmitGate } from './submit_gate.ts';
import { watchTheirs } from './their_jobs.ts';
import { UnaryCalls } from './unary.ts';
import { unhurriedReflection } from './unhurried.ts';
import { activityWatches } from './watch_activity.ts';
import { metricSpecWatches } from './watch_metric_spec.ts';
import { batchWatches } from './watch_batches.ts';
import { jobWatches } from './watch_jobs.ts';
import { queueWatches } from './watch_queues.ts';
import { Watcher } from './watcher.ts';
import { workerService, workerServiceDefinition } from './worker_service.ts';

/** A message up to this many times the limit is read, to refuse it with details; beyond, grpc-js ends the call with the bare code. */
const POLITE_FACTOR = 2;

/**
 * HTTP/2's own keepalive finds dead connections, and those that never became one; that a worker is alive, its heartbeats say. One
 * that is not used is closed; its client opens another when it needs one. Times in milliseconds.
 */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000, 'grpc.max_connection_idle_ms': 900_000 };

export interface ServiceDependencies {
  engine: Engine;
  pool: Pool;
  payloadBytesMax: number;
  retention: Retention;
  /** For whoever scales workers by the work that waits. */
  depths: ReadDepths;
  /** WorkerService.Lease: rpc/lease_stream.ts. */
  lease: handleBidiStreamingCall<LeaseRequest, LeaseResponse>;
}

export interface GrpcServer {
  /** Where it listens, with the port that was taken. */
  address: string;
  /** Calls are answered from now on; before, each gets UNAVAILABLE. */
  open(dependencies: ServiceDependencies): void;
  /** Calls get UNAVAILABLE again, and watches and submit streams end, until it is opened with another engine. */
  close(): void;
  /** Health says NOT_SERVING from now on: load balancers send nobody here any more. Calls go on. */
  drain(): void;
  /** Ends watches and submit streams, lets the other calls finish within `deadlineMs`, cuts off what is left. */
  stop(deadlineMs: number): Promise<void>;
}

const SERVICES = ['', 'externalscaler.ExternalScaler', 'skiplease.v1.BatchService', 'skiplease.v1.JobService', 'skiplease.v1.QueueService',
  'skiplease.v1.ScheduleService', 'skiplease.v1.WorkerService'];

/** How it is served. */
export interface ServerOptions {
  address: ListenAddress;
  receiveBytesMax: number;
  /** What all clients together may make the process hold. */
  clientBytesMax: number;
  credentials: ServerCredentials;
  /** undefined: nobody is asked who they are. */
  guard: CallGuard | undefined;
  /** grpcurl and the like may ask what there is. */
  reflection: boolean;
}

/**
 * Takes the port, so that a taken one is known before anything else is started, and the engine knows its address; the
 * services follow with `open`. Rejects with FAILED_PRECONDITION when the port cannot be had.
 */
export async function bindServer(options: ServerOptions, statuses: StatusMapper, log: Log): Promise<GrpcServer> {
  const { address, receiveBytesMax, credentials, guard } = options;
  const gate = new Gate(statuses);
  const submitGate = new SubmitGate(statuses);
  const health = new HealthImplementation(Object.fromEntries(SERVICES.map((name) => [name, 'SERVING'])));
  const server = new Server({
    ...KEEPALIVE,
    'grpc.max_receive_message_length': receiveBytesMax * POLITE_FACTOR,
    // In the order in which a call comes to them.
    interceptors: [
      gate.interceptor, answerUnreadable(statuses), unhurriedReflection, ...(guard === undefined ? [] : [guard.interceptor]), submitGate.interceptor,
    ],
  });
  boundConnections(server);
  const definitions = [
    batchServiceDefinition, jobServiceDefinition, queueServiceDefinition, scheduleServiceDefinition, workerServiceDefinition, externalScalerDefinition,
  ];
  definitions.forEach((definition) => server.addService(definition, {}));
  health.addToServer(server);
  if (options.reflection) {
    reflection().addToServer(server);
  }
  const port = await bind(server, address, credentials, 'SKIPLEASE_GRPC_ADDRESS');
  const memory = new ClientMemory(options.clientBytesMax, log);
  http2ServersOf(server).forEach((http2Server) => {
    http2Server.on('stream', refuseCompressed);
    memory.watch(http2Server);
  });
  let endStreams = (): void => {};
  const setStatus = (status: 'SERVING' | 'NOT_SERVING') => SERVICES.forEach((name) => health.setStatus(name, status));
  return {
    address: formatAddress({ host: address.host, port }),
    open: ({ engine, pool, payloadBytesMax, retention, depths, lease }) => {
      submitGate.engine = engine;
      const calls = new UnaryCalls(statuses);
      const canceller = new Canceller({ engine, pool });
      const missing = (id: string) => noSuchJob(id, engine.nowMs(), retention);
      const batches = new Watcher(batchWatches(pool), statuses);
      const jobs = new Watcher(jobWatches(pool, missing), statuses);
      const queues = new Watcher(queueWatches(pool, () => engine.conditions), statuses);
      const activity = new Watcher(activityWatches(depths), statuses);
      const metricSpecs = new Watcher(metricSpecWatches(), statuses);
      const rules = () => ({ nowMs: engine.nowMs(), payloadBytesMax, retentionDays: retention.days });
      const submits = submitStreams({ engine, rules, statuses });
      const watchers = [batches, jobs, queues, activity, metricSpecs];
      endStreams = () => [...watchers, submits].forEach((streams) => streams.stop());
      engine.onMoved = () => watchers.forEach((watcher) => watcher.hint());
      const implementations = [
        batchService({ engine, pool, payloadBytesMax, calls, canceller, watch: batches.handler }),
        jobService({
          engine, pool, rules, calls, canceller, submitStream: submits.handler, watch: watchTheirs(pool, jobs.handler, missing, statuses), noSuchJob: missing,
        }),
        queueService({ engine, pool, calls, canceller, watch: queues.handler }),
        scheduleService({ engine, pool, payloadBytesMax, calls }),
        workerService({ pool, calls, lease }),
        externalScaler({ depths, calls, watchActivity: activity.handler, watchMetricSpec: metricSpecs.handler }),
      ] as unknown as UntypedServiceImplementation[];
      definitions.forEach((definition, index) => {
        server.removeService(definition);
        server.addService(guardDecoding(definition, receiveBytesMax), implementations[index]!);
      });
      setStatus('SERVING');
      gate.open();
    },
    close: () => {
      gate.close();
      setStatus('NOT_SERVING');
      endStreams();
    },
    drain: () => setStatus('NOT_SERVING'),
    stop: async (deadlineMs) => {
      endStreams();
      await shutDown(server, deadlineMs);
      memory.stop();
    },
  };
}
