import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Beat } from '../store/coordinators.ts';
import type { Store } from '../store/store.ts';
import type { Standing } from './standing.ts';

/**
 * The coordinator's heartbeat: one statement a tick, however many workers and leases it has. Whatever else happens at
 * regular times follows from it, but never holds up the next: a coordinator whose housekeeping is slow is not dead.
 */
export class Pulse {
  readonly #coordinatorId: string;
  readonly #address: string;
  readonly #ttlMs: number;
  readonly #tickMs: number;
  readonly #store: Store;
  readonly #standing: Standing;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #took: (ms: number) => void;
  readonly #beaten: (beat: Beat) => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #keeping: Promise<void> | undefined;
  #failing = false;

  constructor(deps: {
    coordinatorId: string; address: string; ttlMs: number; tickMs: number; store: Store; standing: Standing; clock: Clock;
    metrics: Metrics; took: (ms: number) => void; beaten: (beat: Beat) => Promise<void>;
  }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#address = deps.address;
    this.#ttlMs = deps.ttlMs;
    this.#tickMs = deps.tickMs;
    this.#store = deps.store;
    this.#standing = deps.standing;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#took = deps.took;
    this.#beaten = deps.beaten;
  }

  /** Enters the list of coordinators; rejects when the database cannot be had. */
  async start(): Promise<void> {
    await this.#store.enter(this.#coordinatorId, this.#ttlMs, this.#address);
    await this.beat();
    this.#timer = this.#clock.every(this.#tickMs, () => {
      // One at a time: a slow database is not asked again while it thinks.
      this.#beating ??= this.#tick();
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    await this.#keeping;
    await this.#store.leave(this.#coordinatorId).catch(() => {});
  }

  async beat(): Promise<Beat> {
    const sentMs = this.#clock.nowMs();
    const beat = await this.#store.beat(this.#coordinatorId, this.#ttlMs);
    this.#took(this.#clock.nowMs() - sentMs);
    if (!beat.renewed) {
      await this.#store.enter(this.#coordinatorId, this.#ttlMs, this.#address);
    }
    this.#standing.renewed(sentMs, beat.nowMs, !beat.renewed);
    return beat;
  }

  async #tick(): Promise<void> {
    try {
      const beat = await this.beat();
      if (this.#failing) {
        this.#failing = false;
        this.#store.log.info({ event: 'database_back' }, 'the database is back');
      }
      this.#keeping ??= this.#keep(beat);
    } catch (error) {
      this.#metrics.error('TICK_FAILED');
      if (!this.#failing) {
        this.#failing = true;
        this.#store.log.error({ event: 'database_away', err: error }, 'the database cannot be reached; workers keep what they hold');
      }
    } finally {
      this.#beating = undefined;
    }
  }

  async #keep(beat: Beat): Promise<void> {
    try {
      await this.#beaten(beat);
    } catch (error) {
      this.#metrics.error('HOUSEKEEPING_FAILED');
      this.#store.log.warn({ event: 'housekeeping_failed', err: error }, 'housekeeping failed; the next tick tries it again');
    } finally {
      this.#keeping = undefined;
    }
  }
}
