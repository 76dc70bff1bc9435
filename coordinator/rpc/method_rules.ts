import type { CreateBatchRequest } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { CancelJobsRequest, ListJobsRequest, RetryJobsRequest, SubmitJobRequest, SubmitJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { WatchQueuesRequest } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { PutScheduleRequest } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Capability } from '../security/access.ts';

/** Instead of a queue's name: all of them. */
export const EVERY_QUEUE = '*';

/** What a call needs. */
export interface MethodRule {
  /** A capability; or only to have proved who calls; or nothing. */
  needs: Capability | 'proof' | 'nothing';
  /**
   * The queues that a message names, and the capability is needed for. None: it is needed for some queue, and the handler
   * acts on, or shows, only what belongs to such queues; the rest is as if it were not there.
   */
  queues(message: never): readonly string[];
}

const none = (): readonly string[] => [];
const queueOf = ({ queue }: { queue: string }) => [queue];
const queueOrEvery = (filter: { queue: string }) => [filter.queue === '' ? EVERY_QUEUE : filter.queue];
const queuesOf = (jobs: readonly (JobSpec | undefined)[]) => [...new Set(jobs.flatMap((job) => job?.queue ?? []))];

function rule<Message = unknown>(needs: MethodRule['needs'], queues: (message: Message) => readonly string[] = none): MethodRule {
  return { needs, queues };
}

/** KEDA's contract names the queue in the metadata of what is scaled. */
const queueOfScaledObject = (object: { scalerMetadata: Record<string, string> } | undefined) =>
  [object?.scalerMetadata.queue ?? object?.scalerMetadata.queueFromEnv ?? EVERY_QUEUE];

/**
 * Every method of every service, and what it needs. One that is not here is refused to everybody; a test finds it.
 *
 * A batch is of no queue: whoever knows its id (122 bits, of which 74 are random) and has the capability for some queue may look at its
 * counts, add jobs of its own queues, and close it. To list all ids, or to cancel what others have put there, takes every queue.
 */
export const METHOD_RULES: Readonly<Record<string, MethodRule>> = {
  '/skiplease.v1.JobService/SubmitJob': rule<SubmitJobRequest>('submit', ({ job }) => queuesOf([job])),
  '/skiplease.v1.JobService/SubmitJobs': rule<SubmitJobsRequest>('submit', ({ jobs }) => queuesOf(jobs)),
  // Its messages come undecoded: each chunk is checked, and answered, in rpc/stream_submit.ts.
  '/skiplease.v1.JobService/StreamSubmitJobs': rule('submit'),
  '/skiplease.v1.JobService/GetJob': rule('read'),
  '/skiplease.v1.JobService/ListJobs': rule<ListJobsRequest>('read', ({ queue }) => (queue === '' ? [] : [queue])),
  '/skiplease.v1.JobService/WatchJob': rule('read'),
  '/skiplease.v1.JobService/CancelJobs': rule<CancelJobsRequest>('operate', ({ filter }) => (filter === undefined ? [] : queueOrEvery(filter))),
  '/skiplease.v1.JobService/RetryJobs': rule<RetryJobsRequest>('operate', ({ filter }) => (filter === undefined ? [] : queueOrEvery(filter))),

  '/skiplease.v1.BatchService/CreateBatch': rule<CreateBatchRequest>('submit', ({ followUp }) => queuesOf([followUp])),
  '/skiplease.v1.BatchService/CloseBatch': rule('submit'),
  '/skiplease.v1.BatchService/GetBatch': rule('read'),
  '/skiplease.v1.BatchService/WatchBatch': rule('read'),
  '/skiplease.v1.BatchService/ListBatches': rule('read', () => [EVERY_QUEUE]),
  '/skiplease.v1.BatchService/CancelBatch': rule('operate', () => [EVERY_QUEUE]),

  '/skiplease.v1.QueueService/ListQueues': rule('read'),
  '/skiplease.v1.QueueService/GetQueue': rule('read', queueOf),
  '/skiplease.v1.QueueService/WatchQueues': rule<WatchQueuesRequest>('read', ({ queues }) => queues),
  '/skiplease.v1.QueueService/PauseQueue': rule('operate', queueOf),
  '/skiplease.v1.QueueService/ResumeQueue': rule('operate', queueOf),
  '/skiplease.v1.QueueService/PurgeQueue': rule('operate', queueOf),
  '/skiplease.v1.QueueService/UpdateQueue': rule('admin', queueOf),

  '/skiplease.v1.ScheduleService/GetSchedule': rule('read'),
  '/skiplease.v1.ScheduleService/ListSchedules': rule('read'),
  '/skiplease.v1.ScheduleService/PutSchedule': rule<PutScheduleRequest>('admin', ({ schedule }) => queuesOf([schedule?.job])),
  '/skiplease.v1.ScheduleService/DeleteSchedule': rule('admin'),
  '/skiplease.v1.ScheduleService/PauseSchedule': rule('operate'),
  '/skiplease.v1.ScheduleService/ResumeSchedule': rule('operate'),
  '/skiplease.v1.ScheduleService/TriggerSchedule': rule('operate'),

  // Reports and progress need the token of a lease that was granted to this identity; what follows a job, to submit (rpc/lease_stream.ts).
  '/skiplease.v1.WorkerService/Lease': rule<LeaseRequest>('work', ({ message }) =>
    (message?.$case === 'hello' ? message.value.queues.map(({ queue }) => queue) : [])),
  '/skiplease.v1.WorkerService/ListWorkers': rule<{ queue: string }>('read', ({ queue }) => (queue === '' ? [] : [queue])),
  '/skiplease.v1.WorkerService/ListLeases': rule<{ queue: string }>('read', ({ queue }) => (queue === '' ? [] : [queue])),

  '/externalscaler.ExternalScaler/IsActive': rule('read', queueOfScaledObject),
  '/externalscaler.ExternalScaler/StreamIsActive': rule('read', queueOfScaledObject),
  '/externalscaler.ExternalScaler/GetMetricSpec': rule('read', queueOfScaledObject),
  '/externalscaler.ExternalScaler/StreamMetricSpec': rule('read', queueOfScaledObject),
  '/externalscaler.ExternalScaler/GetMetrics': rule<{ scaledObjectRef: { scalerMetadata: Record<string, string> } | undefined }>('read',
    ({ scaledObjectRef }) => queueOfScaledObject(scaledObjectRef)),

  // Those that send traffic ask whether there is somebody, and have nothing to prove it with.
  '/grpc.health.v1.Health/Check': rule('nothing'),
  '/grpc.health.v1.Health/Watch': rule('nothing'),
  '/grpc.health.v1.Health/List': rule('nothing'),
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': rule('proof'),
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': rule('proof'),
};
