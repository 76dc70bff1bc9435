import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import { sessionsToMove } from './share.ts';

/** A worker that was asked to move has so long, in which it is leased nothing here; then it may stay. */
const MOVE_MS = 5_000;
/** It is not asked again for so many looks: where it knows of no other coordinator, to ask changes nothing. */
const ASK_AGAIN_LOOKS = 30;
/** Looks are this much apart by turns, so that coordinators do not all look at once: a share of the interval. */
const JITTER = 0.25;

/**
 * Streams of workers live for days: a coordinator that is added would have none. Whoever has clearly more than its share asks a few,
 * those with the least in hand first, to open a stream elsewhere and resume there, as if it were going away. Nothing is lost by that, and no
 * attempt is spent. Knows nothing of the others but how many they are: each sheds its own surplus, and whom that reaches is decided by the
 * workers' addresses.
 */
export class Rebalancer {
  readonly #intervalMs: number;
  readonly #store: Pick<Store, 'countSessions' | 'log'>;
  readonly #sessions: Pick<Sessions, 'all'>;
  readonly #clock: Clock;
  readonly #roomMade: () => void;
  readonly #random: () => number;
  /** By instance of the worker, when it was asked: those of the last ASK_AGAIN_LOOKS looks. */
  readonly #askedMs = new Map<string, number>();
  #dueMs: number;
  #looking = false;
  #closed = false;

  constructor(deps: {
    intervalMs: number; store: Pick<Store, 'countSessions' | 'log'>; sessions: Pick<Sessions, 'all'>; clock: Clock; roomMade: () => void; random?: () => number;
  }) {
    this.#intervalMs = deps.intervalMs;
    this.#store = deps.store;
    this.#sessions = deps.sessions;
    this.#clock = deps.clock;
    this.#roomMade = deps.roomMade;
    this.#random = deps.random ?? Math.random;
    this.#dueMs = this.#nextLookMs();
  }

  /** Looks, when it is time to. */
  tick(coordinators: number): void {
    if (this.#intervalMs === 0 || this.#looking || this.#closed || this.#clock.nowMs() < this.#dueMs) {
      return;
    }
    this.#looking = true;
    this.#dueMs = this.#nextLookMs();
    void this.look(coordinators)
      .catch((error: Error) => this.#store.log.debug({ err: error }, 'the sessions could not be counted; the next look will'))
      .finally(() => {
        this.#looking = false;
      });
  }

  /** The coordinator stops: everybody is asked to move. */
  close(): void {
    this.#closed = true;
  }

  async look(coordinators: number): Promise<void> {
    const open = [...this.#sessions.all()].filter(({ takesLeases }) => takesLeases);
    if (coordinators < 2 || open.length < 2) {
      return;
    }
    const total = await this.#store.countSessions();
    const wanted = sessionsToMove(open.length, total, coordinators);
    this.#forgetAsked();
    const chosen = open.filter((session) => canResume(session) && !this.#askedMs.has(session.instanceId))
      .sort((one, other) => one.heldJobs - other.heldJobs).slice(0, wanted);
    if (chosen.length === 0) {
      return;
    }
    this.#store.log.info({ event: 'rebalancing', sessions: open.length, sessions_of_all: total, coordinators, asked: chosen.length },
      'workers are asked to move to another coordinator, since this one has more than its share');
    for (const session of chosen) {
      this.#askedMs.set(session.instanceId, this.#clock.nowMs());
      this.#clock.after(this.#random() * this.#intervalMs / 2, () => this.#ask(session));
    }
  }

  #ask(session: Session): void {
    if (this.#closed || !session.takesLeases) {
      return;
    }
    session.moving = true;
    session.port!.drain(MOVE_MS);
    this.#clock.after(MOVE_MS, () => {
      session.moving = false;
      this.#roomMade();
    });
  }

  #forgetAsked(): void {
    const oldestMs = this.#clock.nowMs() - ASK_AGAIN_LOOKS * this.#intervalMs;
    this.#askedMs.forEach((atMs, instanceId) => atMs < oldestMs && this.#askedMs.delete(instanceId));
  }

  #nextLookMs(): number {
    return this.#clock.nowMs() + this.#intervalMs * (1 - JITTER + 2 * JITTER * this.#random());
  }
}

/** A worker without an instance id, such as a person at grpcurl, would lose what it holds. */
function canResume({ id, instanceId }: Session): boolean {
  return instanceId !== id;
}
