import { jobBytes } from '../job_bytes.ts';
import { POSITIONS_OF_A_DRAW } from '../limits.ts';
import type { NewJob } from '../types.ts';
import type { SubmitRow } from './submit.ts';

/** Smaller submits are not worth a place: each draw makes a claim look a little longer. */
const JOBS_MIN = 50;
const DRAWS_MAX = 64;
/** Together, as jobBytes() weighs them. */
const BYTES_MAX = 32 * 1024 * 1024;
/** How long jobs that nobody here claims are kept: between once and twice this, in milliseconds. */
const KEEP_MS = 5_000;

/** The jobs of one statement, by their places in its draw of positions. */
interface Draw {
  rows: readonly SubmitRow[];
  bytes: number;
  /** How many of those that went into ready were not claimed here yet. */
  left: number;
}

/** What a claim knows without reading it: fixed from the moment that the claim is sent. */
export interface LentJobs {
  /** The draws from the sequence, oldest first. */
  draws: number[];
  /** The job that went into ready at this position. */
  take(position: number): NewJob | undefined;
}

/**
 * Jobs that this coordinator committed moments ago. Rows of `job` never change, so the claim that follows takes them from
 * here instead of reading them again (a third of what a claim costs PostgreSQL, and half of what it costs this process).
 *
 * Full, it takes no more in: what waits longest is claimed first, so the oldest are the ones worth keeping.
 */
export class RecentJobs {
  #young = new Map<number, Draw>();
  #old = new Map<number, Draw>();
  #turnedMs = 0;
  #bytes = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** The rows of one statement, in its order: row `i` of those that are ready has position `draw × POSITIONS_OF_A_DRAW + i + 1`. */
  keep(draw: number, rows: readonly SubmitRow[]): void {
    this.#turn();
    const left = rows.filter(({ job }) => job.runAtMs === null).length;
    if (left < JOBS_MIN || this.#young.size + this.#old.size >= DRAWS_MAX || this.#bytes >= BYTES_MAX) {
      return;
    }
    const bytes = rows.reduce((sum, { job }) => sum + jobBytes(job), 0);
    this.#bytes += bytes;
    this.#young.set(draw, { rows, bytes, left });
  }

  lend(): LentJobs {
    this.#turn();
    const lent = new Map([...this.#old, ...this.#young]);
    return {
      draws: [...lent.keys()],
      take: (position) => {
        const number = Math.floor(position / POSITIONS_OF_A_DRAW);
        const draw = lent.get(number);
        if (draw === undefined) {
          return undefined;
        }
        draw.left -= 1;
        if (draw.left === 0) {
          this.#forget(number);
        }
        return draw.rows[(position % POSITIONS_OF_A_DRAW) - 1]!.job;
      },
    };
  }

  #forget(number: number): void {
    for (const generation of [this.#old, this.#young]) {
      this.#bytes -= generation.get(number)?.bytes ?? 0;
      generation.delete(number);
    }
  }

  #turn(): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#turnedMs < KEEP_MS) {
      return;
    }
    for (const { bytes } of this.#old.values()) {
      this.#bytes -= bytes;
    }
    this.#old = this.#young;
    this.#young = new Map();
    this.#turnedMs = nowMs;
  }
}
