import type { Beat } from '../store/coordinators.ts';
import type { Store } from '../store/store.ts';
import type { Move } from './decide.ts';
import type { Mender } from './mender.ts';
import type { Sessions } from './sessions.ts';
import type { Standing } from './standing.ts';

/** Gives up what nobody vouches for: sessions of ours that fell silent, and coordinators whose rows have expired. */
export class Reaper {
  readonly #coordinatorId: string;
  readonly #ttlMs: number;
  readonly #store: Store;
  readonly #sessions: Sessions;
  readonly #mender: Mender;
  readonly #standing: Standing;

  constructor(deps: { coordinatorId: string; ttlMs: number; store: Store; sessions: Sessions; mender: Mender; standing: Standing }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#ttlMs = deps.ttlMs;
    this.#store = deps.store;
    this.#sessions = deps.sessions;
    this.#mender = deps.mender;
    this.#standing = deps.standing;
  }

  /** On each tick that committed. */
  async reap(beat: Beat): Promise<void> {
    if (!this.#standing.mayReap) {
      return;
    }
    const silent = this.#sessions.silent(this.#ttlMs);
    if (silent.length > 0) {
      this.#store.log.info({ event: 'sessions_given_up', workers: silent.slice(0, 10).map(({ workerId }) => workerId), count: silent.length },
        'workers were silent for the time to live; their jobs go to others');
      await this.#sessions.giveUp(silent, this.#ttlMs);
    }
    const dead = beat.expiredIds.filter((id) => id !== this.#coordinatorId);
    if (dead.length > 0) {
      await this.#takeOver(dead);
    }
  }

  /** The fleet shares this work: leases that another coordinator is at are left out. */
  async #takeOver(coordinatorIds: string[]): Promise<void> {
    const leases = await this.#store.leasesLeftBehind(coordinatorIds);
    if (leases.length > 0) {
      this.#store.log.info({ event: 'coordinators_given_up', coordinators: coordinatorIds, leases: leases.length },
        'a coordinator is gone and nobody resumed these leases; their jobs go to others');
    }
    for (const { leaseId, coordinatorId, ended } of leases) {
      const moves: Move = ended ? { kind: 'release', delayMs: 0, snoozed: false } : { kind: 'expire' };
      this.#mender.add({ leaseId, proof: { deadCoordinatorId: coordinatorId }, moves, done: () => {} });
    }
    await this.#mender.idle();
    await this.#store.bury(coordinatorIds, this.#ttlMs);
  }
}
