import { systemClock } from '../../coordinator/clock.ts';
import { Mender } from '../../coordinator/engine/mender.ts';
import { QueueCache } from '../../coordinator/engine/queue_cache.ts';
import { Sweeper } from '../../coordinator/engine/sweeper.ts';
import { createMetrics } from '../../coordinator/observe/metrics.ts';
import type { TestEngine } from './store_engine.ts';

/** What settles, expires and gives back for a coordinator, beside its own and telling nobody. */
export function menderOf({ store }: TestEngine): Mender {
  return new Mender({
    store, queues: new QueueCache(store), metrics: createMetrics(), clock: systemClock, sweeper: new Sweeper(store), ttlMs: 60_000,
    returned: () => {}, ended: () => {}, roomIn: () => {},
  });
}

/** Gives up leases on behalf of coordinators, whenever a test likes. */
export class LeaseExpirer {
  readonly #menders: { mender: Mender; coordinatorId: string }[];
  readonly #expiring = new Map<string, Promise<void>>();

  constructor(engines: TestEngine[]) {
    this.#menders = engines.map((engine) => ({ mender: menderOf(engine), coordinatorId: engine.engine.coordinatorId }));
  }

  /** Resolves when the coordinator has given up this lease, if it was in its name. It wants that once: who asks meanwhile waits for the same. */
  expire(engine: number, leaseId: bigint): Promise<void> {
    const key = `${engine} ${leaseId}`;
    let expired = this.#expiring.get(key);
    if (expired === undefined) {
      const { mender, coordinatorId } = this.#menders[engine]!;
      expired = new Promise<void>((resolve) => {
        mender.add({ leaseId, proof: { ownerCoordinatorId: coordinatorId }, moves: { kind: 'expire' }, done: () => resolve() });
      }).finally(() => this.#expiring.delete(key));
      this.#expiring.set(key, expired);
    }
    return expired;
  }
}
