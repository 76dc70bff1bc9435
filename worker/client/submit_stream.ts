import { setImmediate as nextTurn } from 'node:timers/promises';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { ChunkAcknowledgement } from './chunk_stream.ts';
import { ChunkStream } from './chunk_stream.ts';
import { Chunker } from './chunks.ts';
import type { Coordinators } from './coordinators.ts';
import { specFrom } from '../new_job.ts';
import type { NewJob } from '../new_job.ts';

export interface StreamOptions {
  /** Jobs in one chunk, each committed as a whole: 1 to 10,000. Default 1,000. */
  chunkJobs?: number;
  /** Chunks that wait for their commit at once: 1 to 16. Default 8. */
  chunksInFlight?: number;
  /** How long a job may wait for others to fill its chunk, in milliseconds. Default 20. */
  lingerMs?: number;
  /** Called for each chunk once it is committed or refused, in the order of the answers. What it throws ends the stream. */
  onChunk?: (acknowledgement: ChunkAcknowledgement) => void;
}

/** What became of a whole stream: jobs = created + existing + refused. */
export interface StreamTotals {
  chunks: number;
  jobs: number;
  created: number;
  /** Submitted before, under the same id, or kept out by another job with the same unique key. */
  existing: number;
  refused: number;
  /** The refused chunks, at most the first 100 of them (onChunk is told of all). */
  refusals: ChunkAcknowledgement[];
}

const refusalsKept = 100;

/** Submits everything that the source yields, as fast as it is committed. Rejects when the stream fails for good. */
export async function submitStream(
  coordinators: Coordinators,
  source: Iterable<NewJob> | AsyncIterable<NewJob>,
  options: StreamOptions,
): Promise<StreamTotals> {
  const totals: StreamTotals = { chunks: 0, jobs: 0, created: 0, existing: 0, refused: 0, refusals: [] };
  const chunksInFlight = bounded('chunksInFlight', options.chunksInFlight ?? 8, 16);
  const chunker = new Chunker(bounded('chunkJobs', options.chunkJobs ?? 1_000, 10_000), coordinators.messageBytesMax);
  const stream = new ChunkStream(coordinators, chunksInFlight, (acknowledgement) => {
    count(totals, acknowledgement);
    options.onChunk?.(acknowledgement);
  });
  const linger = new Linger(options.lingerMs ?? 20, () => {
    const chunk = chunker.take();
    // The failure is met by the next send, or by finish.
    if (chunk !== undefined) void stream.send(chunk).catch((error: Error) => stream.fail(error));
  });
  try {
    const add = (job: NewJob): JobSpec[] | undefined => {
      linger.start();
      return chunker.add(specFrom(job, coordinators.codec));
    };
    if (Symbol.asyncIterator in source) {
      for await (const job of source) {
        const full = add(job);
        if (full !== undefined) await stream.send(full);
      }
    } else {
      // Without a promise for each job; and a chunk is on its way before the next one is gathered.
      for (const job of source) {
        const full = add(job);
        if (full === undefined) continue;
        await stream.send(full);
        await nextTurn();
      }
    }
    const rest = chunker.take();
    if (rest !== undefined) await stream.send(rest);
    await stream.finish();
    return totals;
  } finally {
    linger.stop();
    stream.cancel();
  }
}

/** One timer for the chunk that is being filled, not one for each job. */
class Linger {
  readonly #milliseconds: number;
  readonly #onOver: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, onOver: () => void) {
    this.#milliseconds = milliseconds;
    this.#onOver = onOver;
  }

  start(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#onOver();
    }, this.#milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function count(totals: StreamTotals, acknowledgement: ChunkAcknowledgement): void {
  const { jobIds, existingJobIds, error } = acknowledgement;
  totals.chunks += 1;
  totals.jobs += jobIds.length;
  if (error === undefined) {
    totals.existing += existingJobIds.length;
    totals.created += jobIds.length - existingJobIds.length;
    return;
  }
  totals.refused += jobIds.length;
  if (totals.refusals.length < refusalsKept) totals.refusals.push(acknowledgement);
}

function bounded(name: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new RangeError(`${name} must be a whole number from 1 to ${most}, not ${value}`);
}
