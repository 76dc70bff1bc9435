import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import type { StreamSubmitJobsRequest, StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Engine } from '../engine/engine.ts';
import { SkipleaseError } from '../errors.ts';
import { SUBMIT_JOBS_MAX } from '../limits.ts';
import { checkQueue } from './check_rule.ts';
import { undecodable } from './decode_guard.ts';
import { accessOf, clientOf } from './identity.ts';
import { readFlood } from './read_flood.ts';
import type { StatusMapper } from './status.ts';
import { submittedIds } from './submit_answer.ts';
import { checkJobs } from './validate.ts';
import type { JobRules } from './job_rules.ts';
import { write } from './writing.ts';

/** Chunks of one stream that may wait for their commit. */
const CHUNKS_MAX = 16;
/** Of chunks that wait as bytes, in all streams: beyond, a stream is read no further while one of its own waits. */
const CHUNKS_BYTES_MAX = 64 * 1024 * 1024;
/** Open streams. */
const STREAMS_MAX = 5_000;
const RETRY_AFTER_MS = 1_000;

export interface StreamSubmitDependencies {
  engine: Engine;
  rules: () => JobRules;
  statuses: StatusMapper;
}

type Call = ServerDuplexStream<Buffer, StreamSubmitJobsResponse>;

/** The open streams, and what they hold together. */
interface Flood {
  streams: Set<SubmitStream>;
  bytes: number;
}

/** Every StreamSubmitJobs of this coordinator. */
export interface SubmitStreams {
  handler: handleBidiStreamingCall<Buffer, StreamSubmitJobsResponse>;
  /** The coordinator stops: what was not acknowledged is to be sent to another one, which an HTTP/2 connection that is cut off does not say. */
  stop(): void;
}

/**
 * StreamSubmitJobs: chunks are submitted as they arrive, so that those of many streams share a commit, and answered in the
 * order of their arrival. With too many on the way the stream is not read; when its answers are not read, neither.
 *
 * A chunk stays bytes until the next commit has room for it (but one of each stream): jobs that wait in line as objects
 * are copied by each garbage collection, and cost more than all the rest of a submit.
 */
export function submitStreams(dependencies: StreamSubmitDependencies): SubmitStreams {
  const flood: Flood = { streams: new Set(), bytes: 0 };
  return {
    handler: (call) => new SubmitStream(call, flood, dependencies).open(),
    stop: () => flood.streams.forEach((stream) => stream.stop()),
  };
}

class SubmitStream {
  readonly #call: Call;
  readonly #client: string;
  readonly #flood: Flood;
  readonly #dependencies: StreamSubmitDependencies;
  readonly #chunks: Buffer[] = [];
  readonly #answers: Promise<StreamSubmitJobsResponse>[] = [];
  #ended = false;
  #answering = false;
  /** Broken off, or ended by its status: a write behind that would destroy the stream before it is sent. */
  #gone = false;

  constructor(call: Call, flood: Flood, dependencies: StreamSubmitDependencies) {
    this.#call = call;
    this.#client = clientOf(call);
    this.#flood = flood;
    this.#dependencies = dependencies;
  }

  open(): void {
    // A client that breaks off: what was accepted is committed all the same, and it may send it again with the same ids.
    for (const event of ['cancelled', 'error', 'close'] as const) {
      this.#call.on(event, () => this.#leave());
    }
    this.#flood.streams.add(this);
    if (this.#flood.streams.size > STREAMS_MAX) {
      this.#fail(new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_STREAMS', `${STREAMS_MAX} streams submit here already.`, { retryAfterMs: RETRY_AFTER_MS }));
      return;
    }
    this.#call.on('data', (bytes: Buffer) => {
      if (this.#gone) {
        return;
      }
      this.#chunks.push(bytes);
      this.#flood.bytes += bytes.length;
      this.#goOn();
      if (this.#isFull) {
        this.#call.pause();
      }
    });
    this.#call.on('end', () => {
      this.#ended = true;
      this.#goOn();
    });
  }

  stop(): void {
    this.#fail(new SkipleaseError('UNAVAILABLE', 'STOPPING', 'This coordinator is stopping. Send what was not acknowledged to another one, with the same ids.',
      { retryAfterMs: RETRY_AFTER_MS }));
  }

  get #isFull(): boolean {
    const waiting = this.#chunks.length;
    return waiting + this.#answers.length >= CHUNKS_MAX || (waiting > 0 && this.#flood.bytes > CHUNKS_BYTES_MAX);
  }

  #goOn(): void {
    try {
      this.#submit();
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#answering) {
      void this.#answerAll().catch((error: unknown) => this.#fail(error));
    }
  }

  #submit(): void {
    const { engine } = this.#dependencies;
    while (this.#chunks.length > 0 && (this.#answers.length === 0 || engine.wantsSubmits(this.#client))) {
      const bytes = this.#chunks.shift()!;
      this.#flood.bytes -= bytes.length;
      this.#answers.push(submitChunk(this.#dependencies, this.#call, this.#client, decoded(bytes)));
    }
  }

  async #answerAll(): Promise<void> {
    this.#answering = true;
    while (this.#answers.length > 0) {
      const answer = await this.#answers[0]!;
      if (this.#gone || !(await write(this.#call, answer))) {
        return;
      }
      void this.#answers.shift();
      this.#submit();
      if (!this.#isFull) {
        this.#call.resume();
      }
    }
    this.#answering = false;
    if (this.#ended && !this.#gone) {
      this.#call.end();
    }
  }

  #leave(): void {
    if (!this.#gone) {
      this.#gone = true;
      this.#flood.streams.delete(this);
      this.#flood.bytes -= this.#chunks.splice(0).reduce((sum, { length }) => sum + length, 0);
    }
  }

  #fail(error: unknown): void {
    if (this.#gone) {
      return;
    }
    this.#leave();
    this.#call.emit('error', this.#dependencies.statuses.forCall(error, this.#call.getPath()));
  }
}

function decoded(bytes: Buffer): StreamSubmitJobsRequest {
  try {
    return readFlood(bytes);
  } catch (error) {
    throw undecodable(error);
  }
}

/** Never rejects: a refused chunk is answered, and the stream goes on. */
function submitChunk(
  { engine, rules, statuses }: StreamSubmitDependencies, call: Call, client: string, { chunk, jobs }: StreamSubmitJobsRequest,
): Promise<StreamSubmitJobsResponse> {
  const refused = (error: unknown) => ({ chunk, jobIds: [], existingJobIds: [], error: statuses.asMessage(error, call.getPath()) });
  try {
    checkQueues(call, jobs);
    const checked = checkJobs(jobs, rules(), { min: 1, max: SUBMIT_JOBS_MAX });
    const chosenByClient = jobs.every(({ id }) => id !== '');
    return engine.submit(checked, client).then((answer) => {
      const got = chosenByClient && answer.standIns === undefined ? { jobIds: [], existingJobIds: answer.existingIds } : submittedIds(checked, answer);
      return { chunk, ...got, error: undefined };
    }, refused);
  } catch (error) {
    return Promise.resolve(refused(error));
  }
}

/** PERMISSION_DENIED where the caller may not submit to a queue of these. */
function checkQueues(call: Call, jobs: readonly { queue: string }[]): void {
  const access = accessOf(call);
  if (access.unrestricted) {
    return;
  }
  let last: string | undefined;
  for (const { queue } of jobs) {
    if (queue !== last) {
      checkQueue(access, 'submit', queue);
      last = queue;
    }
  }
}
