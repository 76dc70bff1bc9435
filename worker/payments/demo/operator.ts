/** What the demo asks the coordinator as an operator would: the queue's settings and depth, and who holds which leases. */
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { QueueServiceClient, type QueueDepth, type UpdateQueueResponse, type GetQueueResponse } from '../../../proto/gen/skiplease/v1/queue_service.ts';
import { WorkerServiceClient, type LeaseInfo, type ListLeasesResponse } from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { SkipleaseError } from '../../index.ts';
import { paymentsQueue } from '../payment_jobs.ts';

const callDeadlineMs = 5_000;
/** Leases in one page of ListLeases; each may name 1,000 jobs, 36 characters each. */
const pageSize = 50;

type Callback<Response> = (error: ServiceError | null, response: Response) => void;

export class Operator {
  readonly #queues: QueueServiceClient;
  readonly #workers: WorkerServiceClient;

  constructor(address: string) {
    this.#queues = new QueueServiceClient(address, credentials.createInsecure());
    this.#workers = new WorkerServiceClient(address, credentials.createInsecure());
  }

  async setLeaseJobsMax(leaseJobsMax: number): Promise<QueueDepth | undefined> {
    const settings = { leaseJobsMax, retryPolicy: undefined };
    const { queue } = await this.#call<UpdateQueueResponse>((metadata, options, callback) =>
      this.#queues.updateQueue({ queue: paymentsQueue, settings }, metadata, options, callback));
    return queue?.depth;
  }

  async depth(): Promise<QueueDepth> {
    const { queue } = await this.#call<GetQueueResponse>((metadata, options, callback) =>
      this.#queues.getQueue({ queue: paymentsQueue }, metadata, options, callback));
    return queue!.depth!;
  }

  /** Leases of one worker that still have unsettled jobs. */
  async leasesOf(workerId: string): Promise<LeaseInfo[]> {
    const leases: LeaseInfo[] = [];
    for (let pageToken = ''; ;) {
      const request = { queue: paymentsQueue, workerId, pageSize, pageToken };
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
