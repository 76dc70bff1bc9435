/** What every answer must be, whatever was asked. */
import { status as code, type StatusObject } from '@grpc/grpc-js';
import { fromBinary, type DescMessage } from '@bufbuild/protobuf';
import type { Status } from '../../proto/gen/google/rpc/status.ts';
import { refusalOf, refusalOfStatus, type Refusal } from '../support/rpc_clients.ts';
import type { Answer } from './call.ts';

/** A stack, a place in our code, a statement, or the name of one of its parts. */
const LEAKS = /\n\s+at |\.ts:\d+|node_modules|\b(select|insert into|delete from|update) [^']{0,40}\bskiplease\.|relation "|column "|constraint "|invalid byte sequence|SQLSTATE|\[object |undefined is not|is not a function|Cannot read propert/i;
const REASON = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/;
/** What grpc-js says by itself, before any code of ours sees the call. */
const OF_THE_LIBRARY = /^(Received message larger than max|Received message that decompresses to a size larger than|Received no request message|Received a second request message|Received too many request messages|The server does not implement the method|Received message compressed with unsupported encoding|Failed to decompress message|Invalid grpc-timeout value|Deadline exceeded$)/;
/** Whom no waiting would help. */
const WITHOUT_RETRY = new Set(['MESSAGE_TOO_LARGE', 'NOBODY_READS']);

/** What is wrong with an answer; undefined: nothing. */
export function complaint(answer: Answer, output: DescMessage): string | undefined {
  return answer.messages.map((message) => unreadable(message, output)).find((problem) => problem !== undefined)
    ?? (answer.brokenOff ? undefined : aboutStatus(answer.status));
}

function unreadable(message: Buffer, output: DescMessage): string | undefined {
  try {
    fromBinary(output, message);
    return undefined;
  } catch (error) {
    return `an answer that cannot be read: ${(error as Error).message}`;
  }
}

function aboutStatus(status: StatusObject): string | undefined {
  if (status.code === code.OK) {
    return undefined;
  }
  if (status.code === code.DEADLINE_EXCEEDED && status.metadata.get('grpc-status-details-bin').length === 0) {
    return `no answer until the deadline: ${status.details}`;
  }
  return status.metadata.get('grpc-status-details-bin').length === 0 && OF_THE_LIBRARY.test(status.details)
    ? undefined : aboutRefusal(refusalOf(status), `${code[status.code]}: ${status.details}`);
}

/** The same for a status that came as a message, as those of refused chunks do. */
export function aboutMessage(status: Status): string | undefined {
  return aboutRefusal(refusalOfStatus(status), `${code[status.code]}: ${status.message}`);
}

function aboutRefusal({ code: given, ...refusal }: Refusal, shown: string): string | undefined {
  const status: code | undefined = code[given] === undefined ? undefined : given;
  if (status === undefined || status === code.INTERNAL || status === code.UNKNOWN) {
    return `not a refusal but a failure: ${shown}`;
  }
  if (!REASON.test(refusal.reason) || refusal.domain !== 'skiplease') {
    return `no ErrorInfo with a reason (but ${JSON.stringify(refusal.reason)} of ${JSON.stringify(refusal.domain)}): ${shown}`;
  }
  if (LEAKS.test(refusal.message) || refusal.violations.some(({ description }) => LEAKS.test(description))) {
    return `words that were not meant for callers: ${shown}`;
  }
  if (status === code.INVALID_ARGUMENT && (refusal.violations.length === 0 || refusal.violations.some(({ description }) => description === ''))) {
    return `INVALID_ARGUMENT without a violation: ${shown}`;
  }
  const waits = status === code.UNAVAILABLE || status === code.RESOURCE_EXHAUSTED;
  return waits && refusal.retryDelayMs === undefined && !WITHOUT_RETRY.has(refusal.reason) ? `no RetryInfo: ${shown}` : undefined;
}
