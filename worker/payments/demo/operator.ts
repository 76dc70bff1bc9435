/** What the demo asks the coordinator as an operator would: the queue's settings and depth, and who holds which leases. */
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { QueueServiceClient, type QueueDepth, type UpdateQueueResponse, type GetQueueResponse } from '../../../proto/gen/skiplease/v1/queue_service.ts';
import { WorkerServiceClient, type LeaseInfo, type ListLeasesResponse } from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { SkipleaseError } from '../../index.ts';

const callDeadlineMs = 5_000;
/** Leases in one page of ListLeases; each may name 1,000 jobs, 36 characters each. */
const pageSize = 50;

type Callback<Response> = (error: ServiceError | null, response: Response) => void;

export class Operator {
  readonly #queue: string;
  readonly #queues: QueueServiceClient;
  readonly #workers: WorkerServiceClient;

  /** Looks after one queue. */
  constructor(address: string, queue: string) {
    this.#queue = queue;
    this.#queues = new QueueServiceClient(address, credentials.createInsecure());
    this.#workers = new WorkerServiceClient(address, credentials.createInsecure());
  }

  async setLeaseJobsMax(leaseJobsMax: number): Promise<void> {
    const settings = { leaseJobsMax, retryPolicy: undefined };
    await this.#call<UpdateQueueResponse>((metadata, options, callback) =>
      this.#queues.updateQueue({ queue: this.#queue, settings }, metadata, options, callback));
  }

  async depth(): Promise<QueueDepth> {
    const { queue } = await this.#call<GetQueueResponse>((metadata, options, callback) =>
      this.#queues.getQueue({ queue: this.#queue }, metadata, options, callback));
    return queue!.depth!;
  }

  /** Leases of one worker that still have unsettled jobs. */
  async leasesOf(workerId: string): Promise<LeaseInfo[]> {
    const leases: LeaseInfo[] = [];
    for (let pageToken = ''; ;) {
      const request = { queue: this.#queue, workerId, pageSize, pageToken };
      const page = await this.#call<ListLeasesResponse>((metadata, options, callback) =>
        this.#workers.listLeases(request, metadata, options, callback));
      leases.push(...page.leases.filter(({ jobIds }) => jobIds.length > 0));
      pageToken = page.nextPageToken;
      if (pageToken === '') return leases;
    }
  }

  close(): void {
    this.#queues.close();
    this.#workers.close();
  }

  #call<Response>(start: (metadata: Metadata, options: { deadline: number }, callback: Callback<Response>) => unknown): Promise<Response> {
    return new Promise((resolve, reject) => {
      start(new Metadata(), { deadline: Date.now() + callDeadlineMs }, (error, response) => {
        if (error === null) resolve(response);
        else reject(SkipleaseError.fromStatus(error, error));
      });
    });
  }
}
