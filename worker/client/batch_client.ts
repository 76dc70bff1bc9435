import { Metadata } from '@grpc/grpc-js';
import { BatchServiceClient, BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { CancelBatchResponse, GetBatchResponse, ListBatchesResponse } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { newJobId } from '../job_id.ts';
import { specFrom } from '../new_job.ts';
import type { NewJob } from '../new_job.ts';
import { batchFrom } from './batch_snapshot.ts';
import type { BatchSnapshot, BatchStateName } from './batch_snapshot.ts';
import { coordinatorsOf } from './client_options.ts';
import type { ClientOptions } from './client_options.ts';
import type { Coordinators, UnaryCall } from './coordinators.ts';
import { watching } from './watch.ts';

/** A batch to be made; nothing of it is needed. */
export interface NewBatch {
  /** UUIDv7; made here when left out. Creating the same id again returns the batch that is there. */
  id?: string;
  /** For people: at most 200 characters. */
  label?: string;
  /**
   * Submitted when the batch is finished, with how it went in its headers (`skiplease-batch-total`, `-succeeded`, `-failed`,
   * `-cancelled`, `-id`). Its delay counts from then. It cannot have a `batchId` itself.
   */
  followUp?: NewJob;
}

/** Looks after batches; their jobs are submitted with `batchId`. Every method rejects with a SkipleaseError. */
export class BatchClient {
  readonly #coordinators: Coordinators<BatchServiceClient>;

  /** Throws TypeError that names each bad option. */
  constructor(options: ClientOptions) {
    this.#coordinators = coordinatorsOf(BatchServiceClient, options);
  }

  /** Opens a batch: submit jobs with its id, then close it. */
  async create({ id = newJobId(), label = '', followUp }: NewBatch = {}): Promise<BatchSnapshot> {
    const request = { id, label, followUp: followUp && specFrom(followUp, this.#coordinators.codec) };
    return this.#one((client, options, callback) => client.createBatch(request, new Metadata(), options, callback));
  }

  /** It takes no more jobs, and is finished once all it has are final. Harmless when it is closed already. */
  async close(batchId: string): Promise<BatchSnapshot> {
    return this.#one((client, options, callback) => client.closeBatch({ batchId }, new Metadata(), options, callback));
  }

  /** Rejects with NOT_FOUND when there is no such batch. */
  async get(batchId: string): Promise<BatchSnapshot> {
    return this.#one((client, options, callback) => client.getBatch({ batchId }, new Metadata(), options, callback));
  }

  /** All there are, or those in one state, newest first, read page by page. */
  async *list(state?: BatchStateName): AsyncGenerator<BatchSnapshot, void, void> {
    let pageToken = '';
    do {
      const request = { state: state === undefined ? BatchState.UNSPECIFIED : BatchState[state], pageSize: 0, pageToken };
      const page = await this.#coordinators.call<ListBatchesResponse>(
        (client, options, callback) => client.listBatches(request, new Metadata(), options, callback),
      );
      for (const batch of page.batches) yield batchFrom(batch);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** The batch as it is now, then after each change that is seen; ends once it is finished. */
  async *watch(batchId: string): AsyncGenerator<BatchSnapshot, void, void> {
    for await (const { batch } of watching(this.#coordinators, (client) => client.watchBatch({ batchId }))) {
      if (batch === undefined) continue;
      const snapshot = batchFrom(batch);
      yield snapshot;
      if (snapshot.state === 'FINISHED') return;
    }
  }

  /**
   * Closes it and cancels its jobs that are not final. The reason (200 characters) is kept with them. Resolves to the batch
   * and how many the last try cancelled; give a large batch a longer `timeoutMs`.
   */
  async cancel(batchId: string, reason = ''): Promise<{ batch: BatchSnapshot; jobsCancelled: number }> {
    const { batch, jobsCancelled } = await this.#coordinators.call<CancelBatchResponse>(
      (client, options, callback) => client.cancelBatch({ batchId, reason }, new Metadata(), options, callback),
    );
    return { batch: batchFrom(batch!), jobsCancelled };
  }

  /** Closes its connections. Calls under way fail. */
  disconnect(): void {
    this.#coordinators.close();
  }

  /** A call that answers with one batch. */
  async #one(start: UnaryCall<BatchServiceClient, GetBatchResponse>): Promise<BatchSnapshot> {
    return batchFrom((await this.#coordinators.call(start)).batch!);
  }
}
