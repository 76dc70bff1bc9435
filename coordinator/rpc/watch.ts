import type { ServerWritableStream } from '@grpc/grpc-js';
import type { WatchJobRequest, WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { JobState } from '../types.ts';
import { SkipleaseError } from '../errors.ts';
import { getJobs } from '../store/get_jobs.ts';
import { lookAtJobs } from '../store/look_at_jobs.ts';
import type { Pool } from '../store/pool.ts';
import { fullJob } from './job_messages.ts';
import type { StatusMapper } from './status.ts';
import { checkJobId, noSuchJob } from './check_names.ts';
import { write } from './writing.ts';

/** How often all watched jobs are looked at, with one statement. */
const LOOK_INTERVAL_MS = 200;
/** After the database could not answer. */
const LOOK_AGAIN_MS = 1_000;
const WATCHES_MAX = 5_000;
/** Jobs read at once, payloads included, before they are sent on. */
const READ_JOBS_MAX = 20;
const FINAL_STATES = new Set<number>([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]);

type Call = ServerWritableStream<WatchJobRequest, WatchJobResponse>;

interface Watch {
  id: string;
  call: Call;
  /** What was last sent; undefined: nothing yet. */
  mark: string | undefined;
  /** It has not taken the last message yet. Meanwhile changes are not kept for it: it gets the newest when it reads on. */
  busy: boolean;
}

/** WatchJob for everybody on this coordinator: one poller, however many watch, that rests when nobody does. */
export class JobWatcher {
  readonly #pool: Pool;
  readonly #statuses: StatusMapper;
  readonly #watches = new Set<Watch>();
  #running = false;
  #wake: (() => void) | undefined;
  #stopped = false;

  constructor(pool: Pool, statuses: StatusMapper) {
    this.#pool = pool;
    this.#statuses = statuses;
  }

  watch(call: Call): void {
    try {
      const id = checkJobId(call.request.jobId);
      this.#refuseTooMany();
      const watch = { id, call, mark: undefined, busy: false };
      this.#watches.add(watch);
      call.on('cancelled', () => this.#watches.delete(watch));
      this.#lookSoon();
    } catch (error) {
      this.#fail(call, error);
    }
  }

  /** Ends every watch: the client asks another coordinator. */
  stop(): void {
    this.#stopped = true;
    for (const { call } of this.#watches) {
      this.#fail(call, shuttingDown());
    }
    this.#watches.clear();
    this.#wake?.();
  }

  #refuseTooMany(): void {
    if (this.#stopped) {
      throw shuttingDown();
    }
    if (this.#watches.size >= WATCHES_MAX) {
      throw new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_WATCHES', `${WATCHES_MAX} jobs are watched here already.`,
        { retryAfterMs: LOOK_AGAIN_MS });
    }
  }

  #lookSoon(): void {
    if (this.#running) {
      this.#wake?.();
    } else {
      void this.#run();
    }
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#watches.size > 0) {
      const failed = await this.#look().then(() => false, (error: unknown) => this.#lookFailed(error));
      await this.#pause(failed ? LOOK_AGAIN_MS : LOOK_INTERVAL_MS);
    }
    this.#running = false;
  }

  /** Sleeps, unless somebody new wants a first look. */
  #pause(ms: number): Promise<void> {
    const isNew = [...this.#watches].some(({ mark, busy }) => mark === undefined && !busy);
    if (isNew && ms === LOOK_INTERVAL_MS) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #look(): Promise<void> {
    const watches = [...this.#watches].filter(({ busy }) => !busy);
    if (watches.length === 0) {
      return;
    }
    const looks = new Map((await lookAtJobs(this.#pool, watches.map(({ id }) => id))).map((look) => [look.id, look]));
    const changed: Watch[] = [];
    for (const watch of watches) {
      const look = looks.get(watch.id);
      if (look === undefined) {
        this.#end(watch, noSuchJob(watch.id));
      } else if (look.mark !== watch.mark) {
        changed.push(watch);
      }
    }
    for (let first = 0; first < changed.length; first += READ_JOBS_MAX) {
      await this.#send(changed.slice(first, first + READ_JOBS_MAX));
    }
  }

  async #send(watches: Watch[]): Promise<void> {
    const rows = new Map((await getJobs(this.#pool, watches.map(({ id }) => id))).map((row) => [row.id, row]));
    for (const watch of watches) {
      const row = rows.get(watch.id);
      if (row !== undefined && this.#watches.has(watch)) {
        watch.mark = row.mark;
        void this.#sendOne(watch, fullJob(row));
      }
    }
  }

  async #sendOne(watch: Watch, job: NonNullable<WatchJobResponse['job']>): Promise<void> {
    watch.busy = true;
    try {
      const there = await write(watch.call, { job });
      watch.busy = false;
      if (!there || FINAL_STATES.has(job.state)) {
        this.#watches.delete(watch);
        watch.call.end();
      }
    } catch (error) {
      this.#end(watch, error);
    }
  }

  /** Who has seen nothing yet is told at once; the others wait for the database to come back. */
  #lookFailed(error: unknown): true {
    for (const watch of this.#watches) {
      if (watch.mark === undefined) {
        this.#end(watch, error);
      }
    }
    return true;
  }

  #end(watch: Watch, error: unknown): void {
    this.#watches.delete(watch);
    this.#fail(watch.call, error);
  }

  #fail(call: Call, error: unknown): void {
    call.emit('error', this.#statuses.forCall(error, call.getPath()));
  }
}

function shuttingDown(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'SHUTTING_DOWN', 'This coordinator is going away: ask another one.',
    { retryAfterMs: LOOK_AGAIN_MS });
}
