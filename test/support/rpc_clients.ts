import { credentials, Metadata } from '@grpc/grpc-js';
import type { Client, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { Job, Payload } from '../../proto/gen/skiplease/v1/job.ts';
import { BatchServiceClient } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import { QueueServiceClient } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { ScheduleServiceClient } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { WorkerServiceClient } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { JobOutcome, Lease, LeaseRequest, LeaseResponse, Receipt } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { startCoordinator } from './coordinator.ts';
import type { TestCoordinator } from './coordinator.ts';
import { createTestDatabase } from './database.ts';
import { waitFor, within } from './wait.ts';

const DEADLINE_MS = 20_000;

/** What a refused call said, details included. */
export interface Refusal {
  code: number;
  message: string;
  reason: string;
  domain: string;
  violations: { field: string; description: string }[];
  retryDelayMs: number | undefined;
}

export function refusalOf(error: { code: number; details: string; metadata: Metadata }): Refusal {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  return refusalOfStatus(bytes === undefined ? { code: error.code, message: error.details, details: [] } : Status.decode(bytes as Buffer));
}

export function refusalOfStatus(status: Status): Refusal {
  const detail = (type: string) => status.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${type}`)?.value;
  const info = detail('ErrorInfo');
  const { reason, domain } = info ? ErrorInfo.decode(info) : { reason: '', domain: '' };
  const bad = detail('BadRequest');
  const retry = detail('RetryInfo');
  const delay = retry && RetryInfo.decode(retry).retryDelay;
  return {
    code: status.code,
    message: status.message,
    reason,
    domain,
    violations: bad ? BadRequest.decode(bad).fieldViolations.map(({ field, description }) => ({ field, description })) : [],
    retryDelayMs: delay && delay.seconds * 1_000 + delay.nanos / 1e6,
  };
}

type Unary<Request, Response> = (
  request: Request, metadata: Metadata, options: { deadline: Date }, callback: (error: ServiceError | null, response: Response) => void,
) => unknown;
type RequestOf<Method> = Method extends (request: infer Request, metadata: never, options: never, callback: never) => unknown ? Request : never;
type CallbackOf<Method> = Method extends (request: never, metadata: never, options: never, callback: infer Callback) => unknown ? Callback : never;
type ResponseOf<Method> = CallbackOf<Method> extends (error: never, response: infer Response) => void ? Response : never;

/** One call; rejects with grpc-js's ServiceError. */
export function call<Service extends Client, Name extends keyof Service>(
  client: Service, name: Name, request: RequestOf<Service[Name]>,
): Promise<ResponseOf<Service[Name]>> {
  return new Promise((resolve, reject) => {
    const method = client[name] as Unary<RequestOf<Service[Name]>, ResponseOf<Service[Name]>>;
    method.call(client, request, new Metadata(), { deadline: new Date(Date.now() + DEADLINE_MS) }, (error, response) => {
      if (error === null) {
        resolve(response);
      } else {
        reject(error);
      }
    });
  });
}

/** The refusal of a call that must be refused. */
export async function refused(promise: Promise<unknown>): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    return refusalOf(error as ServiceError);
  }
  throw new Error('The call was accepted.');
}

export function jobSpec(fields: Partial<JobSpec> = {}): JobSpec {
  return { ...JobSpec.create({ queue: 'mail', type: 'send' }), ...fields };
}

export function data(text: string): Payload {
  return { content: { $case: 'data', value: Buffer.from(text) }, contentType: '' };
}

/** A coordinator on a database of its own, and clients of its services. */
export interface Rpc {
  coordinator: TestCoordinator;
  databaseUrl: string;
  batches: BatchServiceClient;
  jobs: JobServiceClient;
  queues: QueueServiceClient;
  schedules: ScheduleServiceClient;
  workers: WorkerServiceClient;
  submit(...specs: JobSpec[]): Promise<string[]>;
  get(jobId: string): Promise<Job>;
  /** Waits until a job satisfies the condition. */
  until(jobId: string, condition: (job: Job) => boolean, what: string): Promise<Job>;
  worker(options?: HandWorkerOptions): Promise<HandWorker>;
  stop(): Promise<void>;
}

export async function startRpc(environment: Record<string, string> = {}, databaseUrl?: string): Promise<Rpc> {
  const database = databaseUrl === undefined ? await createTestDatabase() : undefined;
  const url = databaseUrl ?? database!.url;
  const coordinator = await startCoordinator({ databaseUrl: url, environment });
  const made = [BatchServiceClient, JobServiceClient, QueueServiceClient, ScheduleServiceClient, WorkerServiceClient].map(
    (Service) => new Service(coordinator.grpcAddress, credentials.createInsecure(), { 'grpc.max_send_message_length': -1 }),
  );
  const [batches, jobs, queues, schedules, workers] = made as unknown as [
    BatchServiceClient, JobServiceClient, QueueServiceClient, ScheduleServiceClient, WorkerServiceClient,
  ];
  const open = new Set<HandWorker>();
  const get = async (jobId: string) => (await call(jobs, 'getJob', { jobId })).job!;
  return {
    coordinator,
    databaseUrl: url,
    batches,
    jobs,
    queues,
    schedules,
    workers,
    submit: async (...specs) => (await call(jobs, 'submitJobs', { jobs: specs })).jobIds,
    get,
    until: (jobId, condition, what) => waitFor(async () => {
      const job = await get(jobId);
      return condition(job) ? job : undefined;
    }, { deadlineMs: DEADLINE_MS, what }),
    worker: async (options = {}) => {
      const worker = await HandWorker.hello(workers, options);
      open.add(worker);
      return worker;
    },
    stop: async () => {
      open.forEach((worker) => worker.cut());
      made.forEach((client) => client.close());
      await coordinator.stop();
      await database?.drop();
    },
  };
}

export interface HandWorkerOptions {
  queues?: string[];
  jobs?: number;
  workerId?: string;
}

/** A worker whose every word the test says. */
export class HandWorker {
  readonly stream: ClientDuplexStream<LeaseRequest, LeaseResponse>;
  readonly received: LeaseResponse[] = [];
  error: ServiceError | undefined;
  ended = false;
  #taken = new Set<LeaseResponse>();

  constructor(client: WorkerServiceClient) {
    this.stream = client.lease();
    this.stream.on('data', (response: LeaseResponse) => this.received.push(response));
    this.stream.on('error', (error: ServiceError) => {
      this.error = error;
    });
    this.stream.on('status', () => {
      this.ended = true;
    });
  }

  static async hello(client: WorkerServiceClient, options: HandWorkerOptions): Promise<HandWorker> {
    const worker = new HandWorker(client);
    worker.say({ $case: 'hello', value: {
      workerId: options.workerId ?? 'by-hand', instanceId: '', queues: (options.queues ?? ['mail']).map((queue) => ({ queue, jobsMax: 0 })),
      window: { jobs: options.jobs ?? 10, bytes: 0, queues: [] }, sdk: '', sdkVersion: '', heldTokens: [], receiveBytesMax: 0,
    } });
    await worker.next('welcome');
    return worker;
  }

  say(message: LeaseRequest['message']): void {
    this.stream.write({ message });
  }

  /** The next message of this kind that was not taken yet. */
  async next<Case extends NonNullable<LeaseResponse['message']>['$case']>(kind: Case): Promise<Extract<LeaseResponse['message'], { $case: Case }>['value']> {
    const found = await waitFor(() => {
      const message = this.received.find((candidate) => candidate.message?.$case === kind && !this.#taken.has(candidate));
      if (message === undefined && this.error !== undefined) {
        throw this.error;
      }
      return message;
    }, { deadlineMs: DEADLINE_MS, what: `the coordinator to say ${kind}` });
    this.#taken.add(found);
    return (found.message as unknown as { value: never }).value;
  }

  lease(): Promise<Lease> {
    return this.next('lease');
  }

  async report(token: string, outcomes: JobOutcome[]): Promise<Receipt> {
    this.say({ $case: 'report', value: { token, outcomes } });
    return this.next('receipt');
  }

  /** Half-closes, and waits for the end. */
  async leave(): Promise<void> {
    this.stream.end();
    await within(waitFor(() => this.ended, { deadlineMs: DEADLINE_MS, what: 'the stream to end' }), DEADLINE_MS, 'the stream to end');
  }

  cut(): void {
    this.stream.cancel();
  }
}

export function succeeded(jobId: string, result?: Payload): JobOutcome {
  return { jobId, outcome: { $case: 'succeeded', value: { result } }, followUps: [] };
}

export function failedForGood(jobId: string, code: string, message: string): JobOutcome {
  return {
    jobId, outcome: { $case: 'failed', value: { error: { code, message, details: '' }, permanent: true, retryDelay: undefined } }, followUps: [],
  };
}
