import { Client, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js';
import {
  ReceiptStatus, WorkerServiceClient, WorkerServiceService, type JobOutcome, type LeaseRequest, type LeaseResponse,
} from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { nameOf } from '../../../worker/client/job_snapshot.ts';
import { msFromDuration } from '../../../worker/wire/duration.ts';
import type { ReceiptStatusName, ReportKind } from '../history/events.ts';
import type { History } from '../history/history.ts';

type LeaseCall = ClientDuplexStream<LeaseRequest, LeaseResponse>;

/**
 * Writes down what is said on every Lease stream of this process, whoever opens it: what comes before it is acted on, what goes before it
 * is sent. The worker library under test knows nothing of it.
 */
export function tapStreams(history: History): void {
  let streams = 0;
  // The library opens it by its path, the generated client by a method of its own.
  const byPath = Client.prototype.makeBidiStreamRequest;
  Client.prototype.makeBidiStreamRequest = function opened(this: Client, ...parameters: unknown[]): unknown {
    const call: unknown = Reflect.apply(byPath, this, parameters);
    if (parameters[0] === WorkerServiceService.lease.path) tap(call as LeaseCall, ++streams, history);
    return call;
  } as typeof byPath;
  const generated = WorkerServiceClient.prototype as { lease(...parameters: unknown[]): LeaseCall };
  const byName = generated.lease;
  generated.lease = function opened(this: unknown, ...parameters: unknown[]): LeaseCall {
    const call = Reflect.apply(byName, this, parameters);
    tap(call, ++streams, history);
    return call;
  };
}

function tap(call: LeaseCall, stream: number, history: History): void {
  const write = call.write.bind(call) as (request: LeaseRequest) => boolean;
  call.write = (request: LeaseRequest): boolean => {
    writeSaid(request, stream, history);
    return write(request);
  };
  const end = call.end.bind(call);
  call.end = (): LeaseCall => {
    history.write({ event: 'leave', stream });
    end();
    return call;
  };
  call.on('data', (response: LeaseResponse) => writeHeard(response, stream, history));
  call.on('status', ({ code, details }: StatusObject) => history.write({ event: 'stream ended', stream, code, details }));
}

function writeSaid({ message }: LeaseRequest, stream: number, history: History): void {
  switch (message?.$case) {
    case 'hello': {
      const { instanceId, window, heldTokens } = message.value;
      return history.write({ event: 'hello', stream, instance: instanceId, window: window?.jobs ?? 0, held: heldTokens });
    }
    case 'report': {
      const { token, outcomes } = message.value;
      return history.write({ event: 'report', stream, token, jobs: outcomes.map((outcome) => [outcome.jobId, kindOf(outcome)]) });
    }
    case 'heartbeat':
      return history.write({ event: 'beat', stream, sequence: message.value.sequence });
    default:
  }
}

function kindOf({ outcome }: JobOutcome): ReportKind {
  return outcome?.$case === 'failed' && outcome.value.permanent ? 'permanent' : outcome!.$case;
}

function writeHeard({ message }: LeaseResponse, stream: number, history: History): void {
  switch (message?.$case) {
    case 'welcome': {
      const { sessionId, leaseTtl, resumed, lostTokens } = message.value;
      return history.write({
        event: 'welcome', stream, session: sessionId, ttlMs: msFromDuration(leaseTtl) ?? 0, resumed: resumed.map(({ token, jobIds }) => [token, jobIds]), lost: lostTokens,
      });
    }
    case 'lease': {
      const { token, queue, jobs } = message.value;
      return history.write({ event: 'lease', stream, token, queue, jobs: jobs.map(({ id, attempt }) => [id, attempt]) });
    }
    case 'receipt': {
      const { token, jobs } = message.value;
      const statuses = jobs.map(({ jobId, status }): [string, ReceiptStatusName] => [jobId, nameOf(ReceiptStatus, status) as ReceiptStatusName]);
      return history.write({ event: 'receipt', stream, token, jobs: statuses });
    }
    case 'alive': {
      const { sequence, validFor } = message.value;
      return history.write({ event: 'alive', stream, sequence, validForMs: msFromDuration(validFor) ?? 0 });
    }
    case 'cancel': {
      const { token, jobIds, reason } = message.value;
      return history.write({ event: 'stopped', stream, token, ids: jobIds, reason });
    }
    default:
  }
}
