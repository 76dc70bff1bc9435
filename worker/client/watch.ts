import { setTimeout as delay } from 'node:timers/promises';
import type { WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { SkipleaseError } from '../skiplease_error.ts';
import type { Coordinators } from './coordinators.ts';
import { snapshotFrom } from './job_snapshot.ts';
import type { JobSnapshot } from './job_snapshot.ts';
import { isPassing, retryWaitMs } from './retry.ts';

/**
 * The job as it is now, then after each change, until it is final. A broken stream is opened again, elsewhere if need
 * be; then the state that it begins with may be one that was seen before.
 */
export async function* watchJob(coordinators: Coordinators, jobId: string): AsyncGenerator<JobSnapshot, void, void> {
  let failures = 0;
  for (;;) {
    const call = coordinators.current().watchJob({ jobId });
    try {
      for await (const response of call as AsyncIterable<WatchJobResponse>) {
        failures = 0;
        if (response.job === undefined) continue;
        const snapshot = snapshotFrom(response.job);
        yield snapshot;
        if (snapshot.final) return;
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
