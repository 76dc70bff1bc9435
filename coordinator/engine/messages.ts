/**
 * What passes between the engine and a stream. The shapes are those of skiplease.v1's messages, so that `rpc/` hands them
 * on as they are; the engine itself knows nothing of gRPC or protobuf.
 */

/** google.protobuf.Duration */
export interface DurationShape {
  seconds: number;
  nanos: number;
}

export interface LeasedJobMessage {
  id: string;
  type: string;
  payload: Uint8Array;
  contentType: string;
  attempt: number;
  maxAttempts: number;
  timeout: DurationShape | undefined;
  headers: Record<string, string>;
  checkpoint: Uint8Array;
  priority: number;
}

export interface LeaseMessage {
  token: string;
  number: number;
  queue: string;
  jobs: LeasedJobMessage[];
}

/** Numbers of skiplease.v1.ReceiptStatus. */
export const ReceiptStatus = { ACCEPTED: 1, DUPLICATE: 2, LEASE_LOST: 3, CANCELLED: 4, INVALID: 5 } as const;
export type ReceiptStatus = (typeof ReceiptStatus)[keyof typeof ReceiptStatus];

export interface JobReceiptMessage {
  jobId: string;
  status: ReceiptStatus;
  message: string;
}

export interface ReceiptMessage {
  token: string;
  jobs: JobReceiptMessage[];
}

/** Numbers of skiplease.v1.CancelReason. */
export const CancelReason = { JOB_CANCELLED: 1, LEASE_LOST: 2, TIMED_OUT: 3 } as const;
export type CancelReason = (typeof CancelReason)[keyof typeof CancelReason];

export interface CancelMessage {
  token: string;
  /** Empty: the whole lease. */
  jobIds: string[];
  reason: CancelReason;
  message: string;
}

export function durationOf(ms: number): DurationShape {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) };
}
