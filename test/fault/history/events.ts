import type { Strike } from '../fault.ts';

/** What a worker says of a job; `permanent` is a failure after which trying again is of no use. */
export type ReportKind = 'succeeded' | 'failed' | 'permanent' | 'released' | 'snoozed';
export type ReceiptStatusName = 'ACCEPTED' | 'DUPLICATE' | 'LEASE_LOST' | 'CANCELLED' | 'INVALID';

/** What was asked for, as far as the rules want to know. */
export interface SubmittedJob {
  id: string;
  queue: string;
  type: string;
  serialKey?: string;
  /** Submitted before: the answer must say so. */
  again?: true;
}

/** Written by submitters. An intention is written before it is sent, an answer once it is here. */
export type SubmitterEvent =
  | { event: 'submit'; jobs: SubmittedJob[] }
  | { event: 'accepted'; ids: string[]; existing: string[] }
  /** Not retried: the answer says that it never will be accepted. */
  | { event: 'refused'; ids: string[]; code: string; message: string }
  | { event: 'cancel'; ids: string[] }
  | { event: 'cancel answered'; results: [id: string, outcome: string][] }
  | { event: 'seen'; id: string; state: string; attempt: number }
  | { event: 'batch'; id: string; ids: string[] }
  /** A transaction of the application's own, which submits a job and places an order, is about to end so. */
  | { event: 'order'; id: string; end: 'commit' | 'rollback' };

/** Written by whoever holds a Lease stream; `stream` counts the streams of this incarnation. */
export type StreamEvent =
  | { event: 'hello'; stream: number; instance: string; window: number; held: string[] }
  | { event: 'welcome'; stream: number; session: string; ttlMs: number; resumed: [token: string, ids: string[]][]; lost: string[] }
  | { event: 'lease'; stream: number; token: string; queue: string; jobs: [id: string, attempt: number][] }
  | { event: 'report'; stream: number; token: string; jobs: [id: string, kind: ReportKind][] }
  | { event: 'receipt'; stream: number; token: string; jobs: [id: string, status: ReceiptStatusName][] }
  | { event: 'beat'; stream: number; sequence: number }
  | { event: 'alive'; stream: number; sequence: number; validForMs: number }
  | { event: 'stopped'; stream: number; token: string; ids: string[]; reason: number }
  /** Half-closed by us: a leave-taking. */
  | { event: 'leave'; stream: number }
  | { event: 'stream ended'; stream: number; code: number; details: string };

/** Written by handlers. */
export type HandlerEvent =
  | { event: 'start'; token: string; id: string; attempt: number }
  | { event: 'end'; token: string; id: string; how: string }
  /** The process kills itself now, on purpose. */
  | { event: 'crash'; token: string; id: string };

/** Written by the lab itself. */
export type LabEvent =
  | { event: 'began'; seed: number }
  | { event: 'up'; process: string; incarnation: number; pid: number }
  | { event: 'not up'; process: string; incarnation: number; error: string }
  | { event: 'signal'; process: string; incarnation: number; signal: string }
  | { event: 'ended'; process: string; incarnation: number; code: number; signalled: string[] }
  | { event: 'strike'; strike: Strike }
  | { event: 'strike over'; number: number }
  | { event: 'passed over'; number: number }
  /** Faults are over and undone. */
  | { event: 'healed' }
  /** Everything that was asked for is final, or the time for it is up. */
  | { event: 'settled'; unfinished: number };

export type HistoryEvent = SubmitterEvent | StreamEvent | HandlerEvent | LabEvent;

/** As it is read back: when (monotonic milliseconds) and by whom (name and incarnation of the process). */
export type Told<Event = HistoryEvent> = Event & { at: number; by: string };
