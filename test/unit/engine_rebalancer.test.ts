/** Who is asked to move when coordinators are added, how many at a time, and what becomes of those that stay. */
import test from 'ava';
import fc from 'fast-check';
import type { Clock } from '../../coordinator/clock.ts';
import { Rebalancer } from '../../coordinator/engine/rebalancer.ts';
import { Session, type SessionPort } from '../../coordinator/engine/session.ts';
import { sessionsToMove } from '../../coordinator/engine/share.ts';
import { keepLog } from '../support/store_world.ts';

for (const [own, total, coordinators, moved, why] of [
  [10, 10, 1, 0, 'there is nobody else'],
  [1, 1, 2, 0, 'one worker is nowhere better off'],
  [2, 2, 2, 1, 'two workers on one of two coordinators'],
  [12, 24, 2, 0, 'its share'],
  [14, 24, 2, 0, 'a little more than its share: chance'],
  [15, 24, 2, 3, 'more than its share'],
  [12, 24, 3, 3, 'a third coordinator has come: a quarter at a time'],
  [1_000, 1_000, 2, 250, 'bounded'],
  [5, 24, 3, 0, 'less than its share'],
] as const) {
  test(`${own} of ${total} on one of ${coordinators}: ${moved} are asked to move (${why})`, (t) => {
    t.is(sessionsToMove(own, total, coordinators), moved);
  });
}

/** Throws of a die, the same for the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (state >>> 8) % sides;
  };
}

test('however the workers are spread, and wherever chance leads those that move, it comes to rest, and near the shares', (t) => {
  fc.assert(fc.property(fc.array(fc.nat(40), { minLength: 2, maxLength: 8 }), fc.nat(1_000_000), (spread, seed) => {
    const sessions = [...spread];
    const chance = dice(seed);
    const total = sessions.reduce((sum, own) => sum + own, 0);
    for (let round = 0; round < 500; round += 1) {
      const moves = sessions.map((own) => sessionsToMove(own, total, sessions.length));
      if (moves.every((count) => count === 0)) {
        return sessions.every((own) => own <= Math.max(1.2 * total / sessions.length, Math.ceil(total / sessions.length)));
      }
      moves.forEach((count, from) => {
        sessions[from]! -= count;
        for (let moved = 0; moved < count; moved += 1) sessions[chance(sessions.length)]! += 1;
      });
    }
    return false;
  }), { numRuns: 200 });
  t.pass();
});

/** A clock that the test moves. */
function handClock() {
  let nowMs = 0;
  const due: { atMs: number; run: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    after: (ms, run) => (due.push({ atMs: nowMs + ms, run }), undefined as unknown as NodeJS.Timeout),
    every: () => undefined as unknown as NodeJS.Timeout,
  };
  return {
    clock,
    pass: (ms: number) => {
      nowMs += ms;
      due.splice(0).forEach((entry) => (entry.atMs <= nowMs ? entry.run() : due.push(entry)));
    },
  };
}

function world(count: number) {
  const { clock, pass } = handClock();
  const drained: string[] = [];
  const sessions = Array.from({ length: count }, (_, index) => {
    const id = `s${index}`;
    const port = { drain: () => drained.push(id) > 0 } as unknown as SessionPort;
    return new Session({ id, workerId: id, instanceId: `i${index}`, identity: '', queues: new Map([['q', 0]]), window: { jobs: 10, bytes: 1_000 }, leaseBytesMax: 600, port, nowMs: 0 });
  });
  let woken = 0;
  const store = { countSessions: () => Promise.resolve(count), log: keepLog() };
  const rebalancer = new Rebalancer({
    intervalMs: 1_000, store, sessions: { all: () => sessions.values() }, clock, roomMade: () => (woken += 1), random: () => 0.5,
  });
  return { rebalancer, sessions, drained, pass, woken: () => woken };
}

test('those with the least in hand are asked, and leased nothing more meanwhile', async (t) => {
  const { rebalancer, sessions, drained, pass } = world(8);
  sessions.forEach((session, index) => session.hold(1, 8 - index, 0));
  await rebalancer.look(2);
  t.deepEqual(drained, [], 'not all at once');
  pass(500);
  t.deepEqual(drained, ['s7', 's6']);
  t.is(sessions[7]!.roomJobs(1, 'q', 0), 0);
  t.true(sessions[0]!.takesLeases);
});

test('one that stays is leased to again, and not asked again for long', async (t) => {
  const { rebalancer, sessions, drained, pass, woken } = world(2);
  await rebalancer.look(2);
  pass(500);
  t.deepEqual(drained, ['s0']);
  pass(5_000);
  t.is(woken(), 1);
  t.true(sessions[0]!.takesLeases);
  await rebalancer.look(2);
  await rebalancer.look(2);
  pass(500);
  t.deepEqual(drained, ['s0', 's1'], 'then the other one, and then nobody');
  pass(30_001);
  await rebalancer.look(2);
  pass(500);
  t.is(drained.length, 3);
});

test('nobody is asked who could not resume, whose stream is broken, or once the coordinator stops', async (t) => {
  const { rebalancer, sessions, drained, pass } = world(8);
  sessions.slice(0, 6).forEach((session) => Object.assign(session, { instanceId: session.id }));
  await rebalancer.look(2);
  sessions[6]!.port = undefined;
  pass(500);
  t.deepEqual(drained, ['s7']);
  sessions[6]!.port = sessions[5]!.port;
  pass(40_000);
  await rebalancer.look(2);
  rebalancer.close();
  pass(500);
  t.deepEqual(drained, ['s7']);
});

test('it looks when it is time to', async (t) => {
  const { rebalancer, drained, pass } = world(8);
  rebalancer.tick(2);
  pass(1_001);
  rebalancer.tick(2);
  await new Promise(setImmediate);
  pass(501);
  t.is(drained.length, 2);
});
