import { SkipleaseError } from '../errors.ts';
import type { Access, Capability } from '../security/access.ts';
import { EVERY_QUEUE, METHOD_RULES } from './method_rules.ts';

/** Throws PERMISSION_DENIED where this caller may not call that method, or not for these queues (none: for some queue). */
export function checkRule(path: string, access: Access, queues: readonly string[]): void {
  const needs = METHOD_RULES[path]?.needs;
  if (needs === undefined) {
    throw notGranted(`Nobody may call ${path}: it has no rule.`, {});
  }
  if (needs === 'proof' || needs === 'nothing') {
    return;
  }
  if (queues.length === 0 && !access.mayInSomeQueue(needs)) {
    throw notGranted(`${access.name} may not ${needs} in any queue.`, { capability: needs });
  }
  for (const queue of queues) {
    checkQueue(access, needs, queue);
  }
}

/** Throws PERMISSION_DENIED where this caller may not do that in this queue. */
export function checkQueue(access: Access, capability: Capability, queue: string): void {
  if (!access.may(capability, queue)) {
    const where = queue === EVERY_QUEUE ? 'in every queue, which this call needs where it names none' : `in the queue ${JSON.stringify(queue.slice(0, 128))}`;
    throw notGranted(`${access.name} may not ${capability} ${where}.`, { capability, queue: queue.slice(0, 128) });
  }
}

function notGranted(message: string, metadata: Record<string, string>): SkipleaseError {
  return new SkipleaseError('PERMISSION_DENIED', 'NOT_GRANTED', `${message} Whoever keeps the identities of this coordinator can grant it.`, { metadata });
}
