import type { Hello, QueueSubscription, Window } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { WindowSize } from '../engine/session.ts';
import type { HelloRequest } from '../engine/hellos.ts';
import { invalidArgument, type FieldViolation } from '../errors.ts';
import { isName, NAME_WORDS } from './names.ts';

export const QUEUES_MAX = 10_000;
export const WINDOW_JOBS_MAX = 100_000;
export const WINDOW_BYTES_MAX = 1_073_741_824;
const WINDOW_BYTES_DEFAULT = 67_108_864;
const LABEL_CHARACTERS_MAX = 128;
const INSTANCE_ID_FORM = /^[\x21-\x7e]{8,64}$/;
const SDK_CHARACTERS_MAX = 64;
const TOKENS_MAX = 10_000;
/** Looking on after so many would help nobody. */
const VIOLATIONS_MAX = 100;
/** gRPC's own default. */
const RECEIVE_BYTES_DEFAULT = 4_194_304;
/** What a message carries beside its largest payload: headers, a checkpoint, framing. */
export const MESSAGE_OVERHEAD_BYTES = 131_072;

/** Checks a worker's first words; INVALID_ARGUMENT with all that is wrong with them. */
export function checkHello(hello: Hello, payloadBytesMax: number): Omit<HelloRequest, 'identity'> {
  const violations: FieldViolation[] = [];
  if (!isLabel(hello.workerId)) {
    violations.push({ field: 'hello.worker_id', description: `must be 1 to ${LABEL_CHARACTERS_MAX} printable characters: a label for people, such as the host's name` });
  }
  if (hello.instanceId !== '' && !INSTANCE_ID_FORM.test(hello.instanceId)) {
    violations.push({ field: 'hello.instance_id', description: 'must be 8 to 64 printable ASCII characters, random at the process\'s start (or empty)' });
  }
  if (hello.queues.length === 0) {
    violations.push({ field: 'hello.queues', description: `has 0 queues: 1 to ${QUEUES_MAX} are accepted` });
  }
  for (const [field, text] of [['sdk', hello.sdk], ['sdk_version', hello.sdkVersion]] as const) {
    if (text.length > SDK_CHARACTERS_MAX || text.includes('\0')) {
      violations.push({ field: `hello.${field}`, description: `must be at most ${SDK_CHARACTERS_MAX} characters` });
    }
  }
  if (hello.heldTokens.length > TOKENS_MAX) {
    violations.push({ field: 'hello.held_tokens', description: `has ${hello.heldTokens.length} tokens: at most ${TOKENS_MAX} are accepted` });
  }
  const receiveBytesMax = hello.receiveBytesMax === 0 ? RECEIVE_BYTES_DEFAULT : hello.receiveBytesMax;
  if (receiveBytesMax < payloadBytesMax + MESSAGE_OVERHEAD_BYTES) {
    violations.push({ field: 'hello.receive_bytes_max',
      description: `is ${receiveBytesMax}: one job may carry ${payloadBytesMax} bytes here, so at least ${payloadBytesMax + MESSAGE_OVERHEAD_BYTES} are needed` });
  }
  const queues = checkSubscriptions(hello.queues, 'hello.queues', violations);
  const window = checkWindow(hello.window, 'hello.window', violations);
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  return {
    workerId: hello.workerId,
    instanceId: hello.instanceId,
    queues,
    window: window!,
    sdk: hello.sdk,
    sdkVersion: hello.sdkVersion,
    heldTokens: hello.heldTokens,
    leaseBytesMax: receiveBytesMax - MESSAGE_OVERHEAD_BYTES / 2,
  };
}

/** A window of a message, with the default for bytes; undefined and violations when it is wrong. */
export function checkWindow(window: Window | undefined, field: string, violations: FieldViolation[]): WindowSize | undefined {
  if (window === undefined) {
    violations.push({ field, description: 'is missing: how many jobs can this worker hold at once?' });
    return undefined;
  }
  if (window.jobs > WINDOW_JOBS_MAX) {
    violations.push({ field: `${field}.jobs`, description: `is ${window.jobs}: 0 to ${WINDOW_JOBS_MAX} are accepted` });
  }
  if (window.bytes > WINDOW_BYTES_MAX) {
    violations.push({ field: `${field}.bytes`, description: `is ${window.bytes}: 0 (for ${WINDOW_BYTES_DEFAULT}) to ${WINDOW_BYTES_MAX} are accepted` });
  }
  return { jobs: window.jobs, bytes: window.bytes === 0 ? WINDOW_BYTES_DEFAULT : window.bytes };
}

/** Caps by queue name; violations for too many, names that cannot be, caps out of bounds, or a queue named twice. */
export function checkSubscriptions(given: QueueSubscription[], field: string, violations: FieldViolation[]): Map<string, number> {
  const queues = new Map<string, number>();
  if (given.length > QUEUES_MAX) {
    violations.push({ field, description: `has ${given.length} queues: at most ${QUEUES_MAX} are accepted` });
    return queues;
  }
  for (const [index, { queue, jobsMax }] of given.entries()) {
    if (violations.length >= VIOLATIONS_MAX) {
      break;
    }
    if (!isName(queue)) {
      violations.push({ field: `${field}[${index}].queue`, description: NAME_WORDS });
    } else if (queues.has(queue)) {
      violations.push({ field: `${field}[${index}].queue`, description: `${queue} is named twice` });
    }
    if (jobsMax > WINDOW_JOBS_MAX) {
      violations.push({ field: `${field}[${index}].jobs_max`, description: `is ${jobsMax}: 0 to ${WINDOW_JOBS_MAX} are accepted` });
    }
    queues.set(queue, jobsMax);
  }
  return queues;
}

function isLabel(text: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  return text.length >= 1 && text.length <= LABEL_CHARACTERS_MAX && !/[\x00-\x1f\x7f]/.test(text) && text.isWellFormed();
}
