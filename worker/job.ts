import type { LeasedJob } from '../proto/gen/skiplease/v1/worker_service.ts';
import type { PayloadCodec } from './codec/codec.ts';
import { msFromDuration } from './wire/duration.ts';
import { parseJson } from './wire/payload.ts';

/** A job as its handler sees it. */
export class Job {
  readonly id: string;
  readonly queue: string;
  readonly type: string;
  /** What the submitter gave, byte for byte (decoded, where the worker has a codec). A view of the message that it came in: copy it to keep it. */
  readonly payload: Uint8Array;
  readonly contentType: string;
  /** Counts from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Milliseconds that this attempt may take; undefined: no limit. */
  readonly timeoutMs: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** What an earlier attempt saved last with `context.checkpoint`. */
  readonly checkpoint: Uint8Array | undefined;
  /** 0 to 9; a higher one goes first. */
  readonly priority: number;

  /** Throws what the codec throws at content that it cannot read. */
  constructor(wire: LeasedJob, queue: string, codec?: PayloadCodec) {
    const { data, contentType } = codec === undefined ? { data: wire.payload, contentType: wire.contentType } : codec.decode({ data: wire.payload, contentType: wire.contentType });
    this.id = wire.id;
    this.queue = queue;
    this.type = wire.type;
    this.payload = data;
    this.contentType = contentType;
    this.attempt = wire.attempt;
    this.maxAttempts = wire.maxAttempts;
    this.timeoutMs = msFromDuration(wire.timeout);
    this.headers = wire.headers;
    this.checkpoint = wire.checkpoint.length === 0 ? undefined : codec === undefined ? wire.checkpoint : codec.decode({ data: wire.checkpoint, contentType: '' }).data;
    this.priority = wire.priority;
  }

  /** The payload as JSON. Throws SyntaxError when it is not: the attempt fails with that. */
  json<T = unknown>(): T {
    return parseJson(this.payload) as T;
  }

  /** The checkpoint as JSON; undefined when no earlier attempt saved one. */
  checkpointJson<T = unknown>(): T | undefined {
    return this.checkpoint === undefined ? undefined : (parseJson(this.checkpoint) as T);
  }
}
