import type { SubmitRow } from '../store/submit.ts';
import type { Store, TransactionRun } from '../store/store.ts';
import type { NewJob, QueueSettings } from '../types.ts';

/** Settings of queues by name and number. What changes them says so (here, or by a wake-up from elsewhere). */
export class QueueCache {
  readonly #store: Store;
  readonly #byName = new Map<string, QueueSettings>();
  readonly #byId = new Map<number, QueueSettings>();
  readonly #keyRates = new Set<number>();
  readonly #ceilings = new Set<number>();

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

  /** The queues with these numbers. Within a transaction: by its own `run`, since it must wait for no other connection. */
  async byIds(ids: Iterable<number>, run?: TransactionRun): Promise<Map<number, QueueSettings>> {
    const found = new Map([...ids].map((id) => [id, this.#byId.get(id)]));
    const missing = [...found].filter(([, queue]) => queue === undefined).map(([id]) => id);
    if (missing.length > 0) {
      for (const queue of await this.#store.queuesById(missing, run)) {
        this.#remember(queue);
        found.set(queue.id, queue);
      }
    }
    return found as Map<number, QueueSettings>;
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
    for (;;) {
      const rows = this.knownRows(jobs);
      if (rows !== undefined) {
        return rows;
      }
      // One of them may be forgotten while another is made: then once more.
      await this.byNames(jobs.map(({ queue }) => queue));
    }
  }

  /** The same without a look at the database; undefined: a queue is not known here. */
  knownRows(jobs: NewJob[]): SubmitRow[] | undefined {
    const rows: SubmitRow[] = [];
    let queue: QueueSettings | undefined;
    for (const job of jobs) {
      // Jobs of one submit mostly share their queue.
      if (job.queue !== queue?.name) {
        queue = this.#byName.get(job.queue);
      }
      if (queue === undefined) {
        return undefined;
      }
      rows.push({ job, queueId: queue.id });
    }
    return rows;
  }

  /** Somebody changed these: they are read again, now or, should the database be away, when they are next needed. */
  async refresh(ids: number[]): Promise<void> {
    const known = ids.filter((id) => this.#byId.has(id));
    if (known.length === 0) {
      return;
    }
    try {
      (await this.#store.queuesById(known)).forEach((queue) => this.#remember(queue));
    } catch (error) {
      for (const id of known) {
        this.#byName.delete(this.nameOf(id));
        this.#byId.delete(id);
      }
      throw error;
    }
  }

  /** For changes that went unheard. */
  refreshAll(): Promise<void> {
    return this.refresh([...this.#byId.keys()]);
  }

  /** Some queue's limit keys have a rate. */
  get keyRates(): boolean {
    return this.#keyRates.size > 0;
  }

  /** Queues that turn submits away while too many jobs wait. */
  get ceilings(): ReadonlySet<number> {
    return this.#ceilings;
  }

  #remember(queue: QueueSettings): void {
    keep(this.#keyRates, queue.id, queue.keyRate);
    keep(this.#ceilings, queue.id, queue.waitingMax !== null);
    this.#byName.set(queue.name, queue);
    this.#byId.set(queue.id, queue);
  }
}

function keep(set: Set<number>, id: number, on: boolean): void {
  if (on) {
    set.add(id);
  } else {
    set.delete(id);
  }
}
