import { newJobId, type BatchClient } from '../../../worker/index.ts';
import type { History } from '../history/history.ts';
import type { Random } from '../random.ts';
import type { Task } from './handlers.ts';
import type { QueueName } from './queues.ts';
import type { IdentifiedJob, SubmitHow, Submissions } from './submissions.ts';

/** A kind of submit that goes on all the time: what, how, and how often. */
interface Lane {
  pauseMs: number;
  how: SubmitHow;
  make: (random: Random) => IdentifiedJob[];
}

const SERIAL_KEYS = 6;
const LIMIT_KEYS = 4;

/** About 300 jobs a second in all. */
export const LANES: readonly Lane[] = [
  ...times(4, () => lane(60, 'single', (random) => [job('plain', 'work', { ms: random.between(0, 20) }, { priority: random.between(0, 9) })])),
  lane(500, 'many', (random) => times(25, () => job('plain', 'work', { ms: random.between(0, 100) }))),
  // More at once than the windows of all workers have room for.
  lane(4_000, 'many', (random) => times(200, () => job('plain', 'work', { ms: random.between(0, 50) }))),
  lane(3_000, 'stream', () => times(100, () => job('plain', 'work', {}))),
  // Holders that live through many heartbeats, and some that do not listen.
  lane(1_000, 'single', (random) => [job('plain', random.pick(['work', 'stubborn']), { ms: random.between(500, 9_000) })]),
  lane(100, 'single', (random) => [job('ledger', 'pay', { ms: random.between(0, 100), bad: random.chance(0.1) ? 1 : 0, child: random.chance(0.2) })]),
  lane(1_000, 'many', (random) => times(10, () => job('ledger', 'payMany', { bad: random.chance(0.1) ? 1 : 0 }))),
  // A key's jobs are submitted one after the other, so that everybody knows their order.
  ...times(SERIAL_KEYS, (key) => lane(300, 'single', (random) => [
    job('serial', random.chance(0.2) ? 'fail' : 'work', { ms: random.between(0, 100), bad: 1 }, { serialKey: `key ${key}` })])),
  lane(100, 'single', (random) => [job('limited', 'work', { ms: random.between(0, 200) })]),
  ...times(LIMIT_KEYS, (key) => lane(350, 'single', (random) => [job('keyed', 'work', { ms: random.between(0, 300) }, { limitKey: `key ${key}` })])),
  lane(150, 'single', (random) => [job('waiting', 'work', {}, { delayMs: random.between(0, 4_000) })]),
  lane(300, 'single', (random) => [job('trouble', 'fail', { bad: random.between(0, 3) })]),
  lane(500, 'single', () => [job('trouble', 'putOff', {})]),
  lane(700, 'single', (random) => [job('trouble', 'parent', { bad: random.chance(0.3) ? 1 : 0 })]),
  lane(2_000, 'single', () => [job('trouble', 'permanent', {})]),
  lane(3_000, 'single', (random) => [job('trouble', 'overrun', { bad: random.between(0, 1) }, { timeoutMs: 700 })]),
  lane(15_000, 'single', () => [job('trouble', 'crash', { bad: 1 })]),
  lane(15_000, 'single', () => [job('trouble', 'hang', { bad: 1 })]),
  // One that kills whoever takes it, until its attempts are used up.
  lane(60_000, 'single', () => [job('trouble', 'crash', { bad: 100 }, { maxAttempts: 2 })]),
];

/** A job, two that wait for it, and one that waits for those: with a head that may fail. */
export function graphsOf(submissions: Submissions, random: Random): () => Promise<void> {
  return async () => {
    const head = job('waiting', random.chance(0.2) ? 'fail' : 'work', { bad: 100 }, { maxAttempts: 2 });
    const left = job('waiting', 'work', {}, { afterJobIds: [head.id] });
    const right = job('waiting', 'work', {}, { afterJobIds: [head.id], afterPolicy: 'RUN_ANYWAY' });
    const tail = job('waiting', 'work', {}, { afterJobIds: [left.id, right.id], afterPolicy: random.pick(['CANCEL', 'RUN_ANYWAY']) });
    await submissions.submit(random.shuffled([head, left, right, tail]), 'many');
  };
}

/** A batch with a follow-up; some are called off. */
export function batchesOf(submissions: Submissions, batches: BatchClient, history: History, random: Random): () => Promise<void> {
  return async () => {
    const batchId = newJobId();
    const jobs = times(12, () => job('waiting', 'work', { ms: random.between(0, 50) }, { batchId }));
    const ids = jobs.map(({ id }) => id);
    const followUp = job('waiting', 'work', {});
    history.write({ event: 'batch', id: batchId, ids });
    await submissions.until(() => batches.create({ id: batchId, followUp }), []);
    await submissions.submit(jobs, 'many');
    if (random.chance(0.2)) await submissions.until(() => batches.cancel(batchId, 'on purpose'), []);
    await submissions.until(() => batches.close(batchId), []);
  };
}

function job(queue: QueueName, type: string, payload: Task, more: Partial<IdentifiedJob> = {}): IdentifiedJob {
  return { id: newJobId(), queue, type, payload, ...more };
}

function lane(pauseMs: number, how: SubmitHow, make: Lane['make']): Lane {
  return { pauseMs, how, make };
}

function times<Item>(count: number, make: (index: number) => Item): Item[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
