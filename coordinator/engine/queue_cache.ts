import type { SubmitRow } from '../store/submit.ts';
import type { Store } from '../store/store.ts';
import type { NewJob, QueueSettings } from '../types.ts';

/** Settings of queues by name and number. What changes them says so (here, or by a wake-up from elsewhere). */
export class QueueCache {
  readonly #store: Store;
  readonly #byName = new Map<string, QueueSettings>();
  readonly #byId = new Map<number, QueueSettings>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The queues of these names; the ones that are new come into being. */
  async byNames(names: Iterable<string>): Promise<void> {
    const missing = [...new Set(names)].filter((name) => !this.#byName.has(name));
    if (missing.length > 0) {
      (await this.#store.createQueues(missing)).forEach((queue) => this.#remember(queue));
    }
  }

  async byName(name: string): Promise<QueueSettings> {
    await this.byNames([name]);
    return this.#byName.get(name)!;
  }

  async byId(id: number): Promise<QueueSettings> {
    await this.byIds([id]);
    return this.#byId.get(id)!;
  }

  async byIds(ids: Iterable<number>): Promise<void> {
    const missing = [...ids].filter((id) => !this.#byId.has(id));
    if (missing.length > 0) {
      (await this.#store.queuesById(missing)).forEach((queue) => this.#remember(queue));
    }
  }

  /** Cached, without a look at the database. */
  known(id: number): QueueSettings | undefined {
    return this.#byId.get(id);
  }

  knownByName(name: string): QueueSettings | undefined {
    return this.#byName.get(name);
  }

  nameOf(id: number): string {
    return this.#byId.get(id)?.name ?? 'unknown';
  }

  /** Jobs with their queues' numbers. */
  async rows(jobs: NewJob[]): Promise<SubmitRow[]> {
    await this.byNames(jobs.map(({ queue }) => queue));
    return jobs.map((job) => ({ job, queueId: this.#byName.get(job.queue)!.id }));
  }

  /** Somebody changed these: they are read again, now or when the database is back. */
  async refresh(ids: number[]): Promise<void> {
    for (const id of ids) {
      const queue = this.#byId.get(id);
      if (queue !== undefined) {
        this.#byId.delete(id);
        this.#byName.delete(queue.name);
      }
    }
    await this.byIds(ids);
  }

  #remember(queue: QueueSettings): void {
    this.#byName.set(queue.name, queue);
    this.#byId.set(queue.id, queue);
  }
}
