import type { ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { refuseInvalid } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { isName, NAME_WORDS } from './names.ts';

/** What a ScaledObject's trigger asks for. */
export interface Scaler {
  queue: string;
  /** Jobs that one replica is meant to have. */
  target: number;
  /** Active while there are more jobs than this. */
  activationTarget: number;
  /** The metric's name, as Kubernetes takes it in a path. */
  metricName: string;
}

/** KEDA passes on what stands in an environment variable of the workers under the key's name with this after it. */
const FROM_ENVIRONMENT = 'FromEnv';
const NUMBER = /^\d{1,15}(\.\d{1,9})?$/;

/** The metadata of a trigger; INVALID_ARGUMENT with all that is wrong with it. Keys that are KEDA's own are left alone. */
export function checkScaler(ref: ScaledObjectRef | undefined, field = ''): Scaler {
  const metadata = ref?.scalerMetadata ?? {};
  const violations: FieldViolation[] = [];
  const given = (key: string) => (metadata[key] ?? metadata[`${key}${FROM_ENVIRONMENT}`])?.trim() ?? '';
  const violate = (key: string, description: string) => violations.push({ field: `${field}scalerMetadata.${key}`, description });
  const queue = given('queue');
  if (!isName(queue)) {
    violate('queue', queue === '' ? 'is missing: the queue whose workers are scaled' : NAME_WORDS);
  }
  const target = Number(given('target'));
  if (!NUMBER.test(given('target')) || target === 0) {
    violate('target', `${shown(given('target'))}: how many jobs one replica is meant to have, a number above 0 such as 100`);
  }
  const activationTarget = Number(given('activationTarget'));
  if (given('activationTarget') !== '' && !NUMBER.test(given('activationTarget'))) {
    violate('activationTarget', `${shown(given('activationTarget'))}: 0 (which it is unless set) or a number above 0; with more jobs than that the workers are started`);
  }
  refuseInvalid(violations);
  return { queue, target, activationTarget, metricName: metricNameOf(queue) };
}

function shown(given: string): string {
  return given === '' ? 'is missing' : `is ${JSON.stringify(given.slice(0, 50))}`;
}

/** Names of queues may have characters that mean something in a path. */
function metricNameOf(queue: string): string {
  return `skiplease-${queue.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`;
}
