import { credentials, type ServiceError } from '@grpc/grpc-js';
import { QueueServiceClient, type Queue, type QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { WorkerServiceClient, type LeaseInfo, type Worker } from '../../proto/gen/skiplease/v1/worker_service.ts';

/** What somebody who looks after a coordinator asks it, with the generated clients. */
export class Operator {
  readonly #workers: WorkerServiceClient;
  readonly #queues: QueueServiceClient;

  constructor(address: string) {
    this.#workers = new WorkerServiceClient(address, credentials.createInsecure());
    this.#queues = new QueueServiceClient(address, credentials.createInsecure());
  }

  /** Leases with something left to do, on all coordinators. */
  async leases(filter: { queue?: string; workerId?: string } = {}): Promise<LeaseInfo[]> {
    const request = { queue: '', workerId: '', pageSize: 1_000, pageToken: '', ...filter };
    return (await answer<{ leases: LeaseInfo[] }>((done) => this.#workers.listLeases(request, done))).leases;
  }

  /** Sessions on all coordinators. */
  async workers(queue = ''): Promise<Worker[]> {
    const request = { queue, pageSize: 1_000, pageToken: '' };
    return (await answer<{ workers: Worker[] }>((done) => this.#workers.listWorkers(request, done))).workers;
  }

  async pause(queue: string): Promise<Queue> {
    return (await answer<{ queue: Queue | undefined }>((done) => this.#queues.pauseQueue({ queue }, done))).queue!;
  }

  async resume(queue: string): Promise<Queue> {
    return (await answer<{ queue: Queue | undefined }>((done) => this.#queues.resumeQueue({ queue }, done))).queue!;
  }

  /** Changes what is given. The queue comes into being if it is not there. */
  async update(queue: string, settings: Partial<QueueSettings>): Promise<Queue> {
    const request = { queue, settings: { leaseJobsMax: undefined, retryPolicy: undefined, ...settings } };
    return (await answer<{ queue: Queue | undefined }>((done) => this.#queues.updateQueue(request, done))).queue!;
  }

  close(): void {
    this.#workers.close();
    this.#queues.close();
  }
}

/** A unary call of a generated client as a promise; rejects with the ServiceError. */
export function answer<Response>(start: (done: (error: ServiceError | null, response: Response) => void) => unknown): Promise<Response> {
  return new Promise((resolve, reject) => {
    start((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}
