import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ClientReadableStream } from '@grpc/grpc-js';
import { SkipleaseError } from '../skiplease_error.ts';
import type { Coordinators } from './coordinators.ts';
import { isPassing, retryWaitMs } from './retry.ts';

/**
 * What a watch is sent, until it ends. A broken stream is opened again, elsewhere if need be; then the state that it
 * begins with may be one that was seen before.
 */
export async function* watching<Service extends Client, Response>(
  coordinators: Coordinators<Service>, open: (client: Service) => ClientReadableStream<Response>,
): AsyncGenerator<Response, void, void> {
  let failures = 0;
  for (;;) {
    const call = open(coordinators.current());
    try {
      for await (const response of call as AsyncIterable<Response>) {
        failures = 0;
        yield response;
      }
      return;
    } catch (thrown) {
      const error = SkipleaseError.from(thrown);
      failures += 1;
      if (!(error instanceof SkipleaseError) || !isPassing(error) || failures >= coordinators.triesMax) throw error;
      coordinators.failed(error);
      await delay(retryWaitMs(error, failures - 1));
    } finally {
      call.cancel();
    }
  }
}
