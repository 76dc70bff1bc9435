/** Hints to other coordinators: the first at once, then a few a second; nothing that only they can tell is dropped. */
import { mock } from 'node:test';
import anyTest from 'ava';
import fc from 'fast-check';
import type { Clock } from '../../coordinator/clock.ts';
import { readHint, type Hint } from '../../coordinator/engine/hint.ts';
import { Wakeups } from '../../coordinator/engine/wakeups.ts';
import { keepLog } from '../support/store_world.ts';

// One after the other: they share the time.
const test = anyTest.serial;

// Time that the test lets pass.
mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000 });
const clock: Clock = { nowMs: () => Date.now(), after: (ms, run) => setTimeout(run, ms), every: (ms, run) => setInterval(run, ms) };

async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  await new Promise(setImmediate);
}

anyTest.after(() => mock.timers.reset());

function wakeups({ reachesOthers = true } = {}) {
  const startMs = clock.nowMs();
  const sent: { atMs: number; hint: Hint; bytes: number }[] = [];
  const line = {
    reachesOthers, broken: false,
    send: (payload: string) => {
      if (line.broken) {
        return Promise.reject(new Error('broken'));
      }
      return Promise.resolve(void sent.push({ atMs: clock.nowMs() - startMs, hint: JSON.parse(payload) as Hint, bytes: Buffer.byteLength(payload) }));
    },
  };
  const log = keepLog();
  return { sent, line, log, made: new Wakeups({ coordinatorId: 'me', clock, log, ttlMs: 10_000, line }) };
}

const level = (queueId: number, positionMin: bigint, priority = 0) => ({ queueId, priority, positionMin });
const cancelled = (count: number, reason = 'no more') => Array.from({ length: count }, (_, index) => ({
  sessionId: '01994c3e-0000-7000-8000-000000000000', leaseId: '12345', jobId: `01994c3e-0000-7000-8000-${String(index).padStart(12, '0')}`, reason, coordinatorId: 'other',
}));

test('the first word goes out at once; what follows within a quarter of a second goes together, the lowest position of each level', async (t) => {
  const { sent, made } = wakeups();
  made.ready([level(1, 50n)]);
  await pass(0);
  made.ready([level(1, 70n), level(2, 80n)]);
  made.ready([level(1, 60n), level(2, 90n, 5)]);
  await pass(249);
  t.is(sent.length, 1);
  await pass(1);
  t.deepEqual(sent.map(({ atMs, hint }) => [atMs, hint]), [
    [0, { from: 'me', ready: [[1, 0, '50']] }],
    [250, { from: 'me', ready: [[1, 0, '60'], [2, 0, '80'], [2, 5, '90']] }],
  ]);
});

test('cancels are in more of a hurry than what waits already', async (t) => {
  const { sent, made } = wakeups();
  made.ready([level(1, 50n)]);
  await pass(0);
  made.ready([level(1, 60n)]);
  made.cancelled(cancelled(1));
  await pass(50);
  t.is(sent.length, 2);
  t.deepEqual([sent[1]!.hint.ready, sent[1]!.hint.cancelled!.length], [[[1, 0, '60']], 1]);
  await pass(1_000);
  t.is(sent.length, 2, 'nothing is left to say');
});

test('changed settings and a greeting wait for nothing, the earliest due time counts', async (t) => {
  const { sent, made } = wakeups();
  made.scheduled(500);
  await pass(0);
  made.scheduled(300);
  made.scheduled(400);
  made.queuesChanged([3, 4]);
  made.queuesChanged([3]);
  made.greet();
  await pass(0);
  t.deepEqual(sent.map(({ hint }) => hint), [{ from: 'me', runAtMs: 500 }, { from: 'me', runAtMs: 300, queues: [3, 4], all: true }]);
});

test('what is too long for one NOTIFY is said in several, whatever characters it has', async (t) => {
  const { sent, made } = wakeups();
  made.cancelled(cancelled(500, 'weil es so ist — и всё тут'));
  made.queuesChanged(Array.from({ length: 3_000 }, (_, index) => index));
  made.ready(Array.from({ length: 600 }, (_, index) => level(index, 1_000_000n)));
  made.scheduled(77);
  await pass(0);
  t.true(sent.length > 5);
  t.true(sent.every(({ bytes }) => bytes < 8_000));
  t.deepEqual(new Set(sent.flatMap(({ hint }) => hint.cancelled ?? []).map(([, , jobId]) => jobId)).size, 500);
  t.deepEqual(sent.flatMap(({ hint }) => hint.queues ?? []).length, 3_000);
  t.deepEqual(sent.filter(({ hint }) => hint.all).map(({ hint }) => hint.runAtMs), [77], 'one of them says: look everywhere');
});

test('alone, it says nothing, and forgets it: whoever comes later looks everywhere', async (t) => {
  const { sent, made } = wakeups();
  made.seen(0);
  made.ready([level(1, 50n)]);
  made.cancelled(cancelled(2));
  await pass(1_000);
  t.is(sent.length, 0);
  made.seen(1);
  made.ready([level(1, 60n)]);
  await pass(1_000);
  t.deepEqual(sent.map(({ hint }) => hint), [{ from: 'me', ready: [[1, 0, '60']] }]);
});

test('what could not be said is not said again: look everywhere, once the line is back', async (t) => {
  const { sent, made, line } = wakeups();
  line.broken = true;
  made.ready([level(1, 50n)]);
  made.cancelled(cancelled(2));
  await pass(1_000);
  line.broken = false;
  made.sayWhatWasLost();
  await pass(1_000);
  t.deepEqual(sent.map(({ hint }) => hint), [{ from: 'me', all: true }]);
  made.sayWhatWasLost();
  await pass(1_000);
  t.is(sent.length, 1, 'nothing is lost any more');
});

test('while the line is slow, what is to be said gathers; too many cancels become a look everywhere', async (t) => {
  const { sent, made, line } = wakeups();
  const send = line.send;
  let answer = () => {};
  line.send = (payload: string) => new Promise((resolve) => {
    answer = () => resolve(send(payload));
  });
  made.ready([level(1, 50n)]);
  await pass(0);
  for (let count = 0; count < 20; count += 1) {
    made.ready([level(2, 80n)]);
    made.cancelled(cancelled(1_000));
    await pass(250);
  }
  t.is(sent.length, 0);
  line.send = send;
  answer();
  await pass(0);
  t.deepEqual(sent.map(({ hint }) => hint.all), [undefined, true, ...sent.slice(2).map(() => undefined)]);
  t.is(sent.flatMap(({ hint }) => hint.cancelled ?? []).length, 10_000);
});

test('on a line that reaches nobody nothing is said; others that stay are told of in the log, once', async (t) => {
  const { sent, made, log } = wakeups({ reachesOthers: false });
  made.greet();
  made.seen(1);
  made.ready([level(1, 50n)]);
  await pass(9_000);
  made.seen(1);
  t.is(log.lines.length, 0, 'one that was killed counts for a time to live');
  made.seen(0);
  await pass(9_000);
  made.seen(1);
  await pass(10_001);
  made.seen(1);
  made.seen(2);
  t.deepEqual(log.lines.map(({ level: at, fields }) => [at, fields.event]), [['warn', 'others_unheard']]);
  t.is(sent.length, 0);
});

test('whatever is on the line, a hint is read or passed over', (t) => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (payload) => {
    t.notThrows(() => readHint(payload));
  }), { plugins: [fc.interruptAfterTimeLimit(2_000)] });
  const hint: Hint = { from: 'x', ready: [[1, 9, '123']], runAtMs: 1.5, queues: [1], cancelled: [['s', '1', 'j', '']], all: true };
  t.deepEqual(readHint(JSON.stringify(hint)), hint);
});
