import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';

/** A reader that takes nothing for this long is let go. */
const STALL_MS_MAX = 30_000;

type Writing<Response> = ServerWritableStream<unknown, Response> | ServerDuplexStream<unknown, Response>;

/** Writes, and waits where the stream refuses more. RESOURCE_EXHAUSTED when the other side does not read; false: it is gone. */
export async function write<Response>(call: Writing<Response>, message: Response): Promise<boolean> {
  if (call.cancelled || call.destroyed) {
    return false;
  }
  if (!call.write(message)) {
    await drained(call);
  }
  return !call.cancelled;
}

/**
 * Writes, and waits until the connection has taken it: no more than one message waits here for a slow reader.
 * RESOURCE_EXHAUSTED when the other side does not read; false: it is gone.
 */
export function writeThrough<Response>(call: Writing<Response>, message: Response): Promise<boolean> {
  if (call.cancelled || call.destroyed) {
    return Promise.resolve(false);
  }
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => () => {
      clearTimeout(timer);
      call.off('cancelled', onTaken);
      finish();
    };
    const onTaken = settle(() => resolve(!call.cancelled && !call.destroyed));
    const timer = setTimeout(settle(() => reject(nobodyReads())), STALL_MS_MAX);
    call.once('cancelled', onTaken);
    call.write(message, onTaken);
  });
}

function drained(call: Writing<never>): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => () => {
      clearTimeout(timer);
      call.off('drain', onDrain);
      call.off('cancelled', onDrain);
      finish();
    };
    const onDrain = settle(resolve);
    const timer = setTimeout(settle(() => reject(nobodyReads())), STALL_MS_MAX);
    call.once('drain', onDrain);
    call.once('cancelled', onDrain);
  });
}

function nobodyReads(): SkipleaseError {
  return new SkipleaseError('RESOURCE_EXHAUSTED', 'NOBODY_READS', `Nothing was read from this stream for ${STALL_MS_MAX / 1_000} seconds.`);
}
