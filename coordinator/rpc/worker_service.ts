import type { handleBidiStreamingCall } from '@grpc/grpc-js';
import { LeaseResponse, WorkerServiceService } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseInfo, LeaseRequest, Worker, WorkerServiceServer } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { invalidArgument } from '../errors.ts';
import type { Access } from '../security/access.ts';
import { listLeases } from '../store/list_leases.ts';
import type { LeaseRow } from '../store/list_leases.ts';
import { listWorkers } from '../store/list_workers.ts';
import type { WorkerRow } from '../store/list_workers.ts';
import type { Pool } from '../store/pool.ts';
import { UUID_MIN } from './ids.ts';
import { checkPageSize, CURSOR, makePageToken, readPageToken } from './page_token.ts';
import { readLeaseRequest } from './read_report.ts';
import { viewResponses } from './serialize.ts';
import type { UnaryCalls } from './unary.ts';
import { checkQueueName } from './check_names.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;
/** A lease may name a thousand jobs: so many of them in one message stay below what clients receive by default. */
const PAGE_JOB_IDS_MAX = 50_000;
const WORKER_ID_CHARACTERS_MAX = 128;

export interface WorkerServiceDependencies {
  pool: Pool;
  calls: UnaryCalls;
  /** The stream that workers work on: rpc/lease_stream.ts. */
  lease: handleBidiStreamingCall<LeaseRequest, LeaseResponse>;
}

const fastDefinition = viewResponses(WorkerServiceService, { lease: LeaseResponse });

export const workerServiceDefinition = {
  ...fastDefinition,
  lease: { ...fastDefinition.lease, requestDeserialize: readLeaseRequest },
};

/** skiplease.v1.WorkerService */
export function workerService({ pool, calls, lease }: WorkerServiceDependencies): WorkerServiceServer {
  return {
    lease,

    listWorkers: calls.ordinary(async (request, _stopped, access) => {
      const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
      const queue = optionalQueue(request.queue);
      const cursor = readPageToken(request.pageToken, [request.queue], CURSOR.uuid);
      const rows = await listWorkers(pool, queue, cursor ?? UUID_MIN, pageSize + 1);
      const page = rows.slice(0, pageSize);
      return {
        workers: page.flatMap((row) => seenBy(access, row)).map(worker),
        nextPageToken: rows.length > pageSize ? makePageToken(page.at(-1)!.sessionId, [request.queue]) : '',
      };
    }),

    listLeases: calls.ordinary(async (request, _stopped, access) => {
      const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
      const filter = { queue: optionalQueue(request.queue), workerId: optionalWorker(request.workerId) };
      const filters = [request.queue, request.workerId];
      const cursor = readPageToken(request.pageToken, filters, CURSOR.leaseId);
      const rows = await listLeases(pool, filter, cursor ?? '0', pageSize + 1);
      const page = withinBounds(rows.slice(0, pageSize));
      return {
        leases: page.filter((row) => access.may('read', row.queue)).map(leaseInfo),
        nextPageToken: rows.length > page.length ? makePageToken(page.at(-1)!.leaseId, filters) : '',
      };
    }),
  };
}

/** With those of its queues that the caller may read; none: the worker is not shown. */
function seenBy(access: Access, row: WorkerRow): WorkerRow[] {
  const queues = row.queues.filter((queue) => access.may('read', queue));
  return queues.length === 0 ? [] : [{ ...row, queues }];
}

function worker(row: WorkerRow): Worker {
  const { connectedAtMs, ...rest } = row;
  return { ...rest, connectTime: new Date(connectedAtMs) };
}

function leaseInfo(row: LeaseRow): LeaseInfo {
  const { leaseId, grantedAtMs, workerId, ...rest } = row;
  return { ...rest, leaseId: Number(leaseId), workerId: workerId ?? '', grantTime: new Date(grantedAtMs) };
}

function withinBounds(rows: LeaseRow[]): LeaseRow[] {
  let ids = 0;
  const end = rows.findIndex(({ jobIds }) => (ids += jobIds.length) > PAGE_JOB_IDS_MAX);
  return end === -1 ? rows : rows.slice(0, Math.max(end, 1));
}

function optionalQueue(given: string): string | undefined {
  return given === '' ? undefined : checkQueueName(given);
}

function optionalWorker(given: string): string | undefined {
  if (given.length > WORKER_ID_CHARACTERS_MAX || given.includes('\0')) {
    throw invalidArgument([{ field: 'worker_id', description: `must be at most ${WORKER_ID_CHARACTERS_MAX} characters, none of them null` }]);
  }
  return given === '' ? undefined : given;
}
