import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type { WatchJobRequest, WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { SkipleaseError } from '../errors.ts';
import type { Access, Capability } from '../security/access.ts';
import type { Pool } from '../store/pool.ts';
import { queuesOfJobs } from '../store/queues_of_jobs.ts';
import { checkJobId } from './check_names.ts';
import { accessOf } from './identity.ts';
import type { StatusMapper } from './status.ts';

/** Those of these jobs that are of queues in which the caller has the capability. The others are as if they were not there. */
export async function theirJobs(pool: Pool, ids: string[], access: Access, capability: Capability): Promise<string[]> {
  if (access.mayInEveryQueue(capability)) {
    return ids;
  }
  const queues = await queuesOfJobs(pool, ids);
  return ids.filter((id) => queues.has(id) && access.may(capability, queues.get(id)!));
}

/** WatchJob, for those who may read some queues only. (A job stays in its queue, so once is enough.) */
export function watchTheirs(
  pool: Pool, watch: handleServerStreamingCall<WatchJobRequest, WatchJobResponse>, missing: (id: string) => SkipleaseError, statuses: StatusMapper,
): handleServerStreamingCall<WatchJobRequest, WatchJobResponse> {
  const look = async (id: string, access: Access): Promise<void> => {
    if ((await theirJobs(pool, [id], access, 'read')).length === 0) {
      throw missing(id);
    }
  };
  return (call) => {
    const access = accessOf(call);
    if (access.mayInEveryQueue('read')) {
      watch(call);
      return;
    }
    Promise.resolve().then(() => look(checkJobId(call.request.jobId), access)).then(
      () => call.cancelled || watch(call),
      (error: unknown) => call.emit('error', statuses.forCall(error, call.getPath())),
    );
  };
}
