import { Metadata } from '@grpc/grpc-js';
import { QueueServiceClient } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { GetQueueResponse, ListQueuesResponse, PurgeQueueResponse } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { coordinatorsOf } from './client_options.ts';
import type { ClientOptions } from './client_options.ts';
import type { Coordinators, UnaryCall } from './coordinators.ts';
import { queueFrom, wireSettings } from './queue_snapshot.ts';
import type { QueueSettings, QueueSnapshot } from './queue_snapshot.ts';
import { watching } from './watch.ts';

/** Looks after queues. Every method rejects with a SkipleaseError: NOT_FOUND where nothing was ever submitted to the queue. */
export class QueueClient {
  readonly #coordinators: Coordinators<QueueServiceClient>;

  /** Throws TypeError that names each bad option. */
  constructor(options: ClientOptions) {
    this.#coordinators = coordinatorsOf(QueueServiceClient, options);
  }

  async get(queue: string): Promise<QueueSnapshot> {
    return this.#one((client, options, callback) => client.getQueue({ queue }, new Metadata(), options, callback));
  }

  /** All there are, by name, read page by page. */
  async *list(): AsyncGenerator<QueueSnapshot, void, void> {
    let pageToken = '';
    do {
      const page = await this.#coordinators.call<ListQueuesResponse>(
        (client, options, callback) => client.listQueues({ pageSize: 0, pageToken }, new Metadata(), options, callback),
      );
      for (const queue of page.queues) yield queueFrom(queue);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Changes what is given and leaves the rest. A queue that is not there yet comes into being. */
  async update(queue: string, settings: QueueSettings): Promise<QueueSnapshot> {
    const request = { queue, settings: wireSettings(settings) };
    return this.#one((client, options, callback) => client.updateQueue(request, new Metadata(), options, callback));
  }

  /** Once it resolves, no coordinator leases any more of its jobs. Those that are leased go on. */
  async pause(queue: string): Promise<QueueSnapshot> {
    return this.#one((client, options, callback) => client.pauseQueue({ queue }, new Metadata(), options, callback));
  }

  async resume(queue: string): Promise<QueueSnapshot> {
    return this.#one((client, options, callback) => client.resumeQueue({ queue }, new Metadata(), options, callback));
  }

  /**
   * Cancels all that waits in it; what runs goes on. The reason (200 characters) is kept with the jobs. Resolves to how
   * many the last try cancelled; give a large backlog a longer `timeoutMs`.
   */
  async purge(queue: string, reason = ''): Promise<number> {
    const { jobsCancelled } = await this.#coordinators.call<PurgeQueueResponse>(
      (client, options, callback) => client.purgeQueue({ queue, reason }, new Metadata(), options, callback),
    );
    return jobsCancelled;
  }

  /** These queues (1 to 100) as they are now, then each again when it has changed: the newest state, until you stop reading. */
  async *watch(queues: readonly string[]): AsyncGenerator<QueueSnapshot, void, void> {
    for await (const { queue } of watching(this.#coordinators, (client) => client.watchQueues({ queues: [...queues] }))) {
      if (queue !== undefined) yield queueFrom(queue);
    }
  }

  /** Closes its connections. Calls under way fail. */
  close(): void {
    this.#coordinators.close();
  }

  /** A call that answers with one queue. */
  async #one(start: UnaryCall<QueueServiceClient, GetQueueResponse>): Promise<QueueSnapshot> {
    return queueFrom((await this.#coordinators.call(start)).queue!);
  }
}
