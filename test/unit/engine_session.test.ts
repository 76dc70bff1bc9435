/** A window is counted by jobs and by bytes, once for each job, whichever way it is freed. */
import test from 'ava';
import { Bits } from '../../coordinator/bits.ts';
import { HeldLease } from '../../coordinator/engine/held_lease.ts';
import { Session, type SessionPort } from '../../coordinator/engine/session.ts';
import { formatToken, newSecret } from '../../coordinator/engine/token.ts';

const QUEUE = 1;
const port = {} as SessionPort;

function sessionOf(window = { jobs: 10, bytes: 1_000 }, queues: [string, number][] = [['q', 0], ['capped', 3]], leaseBytesMax = 600): Session {
  return new Session({ id: 's', workerId: 'w', instanceId: 'i', identity: '', queues: new Map(queues), window, leaseBytesMax, port, nowMs: 0 });
}

function leaseOf(jobs: number, bytes = 50, queueId = QUEUE, settled?: Bits): HeldLease {
  return new HeldLease({
    leaseId: BigInt(Math.floor(Math.random() * 1e9) + 1), secret: newSecret(), queueId, jobIds: Array.from({ length: jobs }, (_, index) => `job${index}`),
    attempts: Array.from({ length: jobs }, () => 1), bytes: Array.from({ length: jobs }, () => bytes), grantedMs: 0, ...(settled === undefined ? {} : { settled }),
  });
}

const room = (session: Session, queue = 'q', queueId = QUEUE) => session.roomJobs(queueId, queue, 1e9);

test('room is what the window leaves, no more than the queue\'s cap, and none while nothing can be sent', (t) => {
  const session = sessionOf();
  t.is(room(session), 10);
  t.is(room(session, 'capped', 2), 3);
  t.is(room(session, 'another', 3), 0, 'it does not serve that one');
  for (const stop of [{ stalled: true }, { draining: true }, { port: undefined }]) {
    t.is(room(Object.assign(sessionOf(), stop)), 0, JSON.stringify(stop));
  }
  session.take(leaseOf(4));
  t.is(room(session), 6);
  t.is(session.freeBytes(), 800);
  t.is(session.roomBytes(), 600, 'no lease message may be larger');
  session.take(leaseOf(2, 50, 2));
  t.is(room(session, 'capped', 2), 1);
  session.take(leaseOf(1, 700));
  t.is(room(session), 0, 'its bytes are used up');
  t.is(session.freeBytes(), 0);
});

test('a smaller window leaves no room until enough is done; 0 drains', (t) => {
  const session = sessionOf();
  session.take(leaseOf(6));
  session.window = { jobs: 4, bytes: 1_000 };
  t.is(room(session), 0);
  session.window = { jobs: 0, bytes: 1_000 };
  t.is(room(session), 0);
});

test('each job is freed once, whoever says that it is settled, and the last one forgets the lease', (t) => {
  const session = sessionOf();
  const lease = leaseOf(3);
  session.take(lease);
  session.settled(lease, [0, 1]);
  session.settled(lease, [1, 0]);
  t.deepEqual([session.heldJobs, session.heldBytes, session.leases.size], [1, 50, 1]);
  session.settled(lease, [2]);
  t.deepEqual([session.heldJobs, session.heldBytes, session.leases.size], [0, 0, 0]);
  session.settled(lease, [2]);
  session.drop(lease);
  t.deepEqual([session.heldJobs, session.heldBytes], [0, 0]);
});

test('a lease that is dropped frees what was left of it, and nothing after', (t) => {
  const session = sessionOf();
  const lease = leaseOf(3);
  session.take(lease);
  session.settled(lease, [1]);
  session.drop(lease);
  session.settled(lease, [0, 2]);
  session.drop(lease);
  t.deepEqual([session.heldJobs, session.heldBytes], [0, 0]);
});

test('a resumed lease counts what is left of it', (t) => {
  const settled = new Bits(4);
  settled.set(1);
  const resumed = leaseOf(4, 50, QUEUE, settled);
  const session = sessionOf();
  session.take(resumed);
  t.is(session.heldJobs, 3);
  t.false(resumed.taken.set(1), 'what was settled is not taken again');
});

test('crumbs wait a tenth of a second to become more, once', (t) => {
  const session = sessionOf({ jobs: 100, bytes: 1e9 });
  session.take(leaseOf(90, 1));
  t.is(session.roomJobs(QUEUE, 'q', 1_000), 0);
  t.is(session.roomJobs(QUEUE, 'q', 1_099), 0);
  t.is(session.roomJobs(QUEUE, 'q', 1_100), 10);
  session.free(QUEUE, 20, 20);
  t.is(session.roomJobs(QUEUE, 'q', 1_101), 30, 'a quarter of the window is no crumb');
});

test('a job is found in its lease in any order', (t) => {
  const lease = leaseOf(5);
  t.deepEqual(['job0', 'job1', 'job4', 'job1', 'stranger', 'job2'].map((id) => lease.place(id)), [0, 1, 4, 1, -1, 2]);
  t.is(lease.token, formatToken(lease));
  lease.settled.set(3);
  t.deepEqual(lease.unsettledJobIds(), ['job0', 'job1', 'job2', 'job4']);
});

test('a stream that is not read says nothing of its worker, who has a time to live from when it is', (t) => {
  const session = sessionOf();
  session.heardMs = 5;
  session.listen(true, 10);
  t.deepEqual([session.unread, session.heardMs], [false, 5]);
  session.listen(false, 20);
  session.listen(false, 30);
  t.deepEqual([session.unread, session.heardMs], [true, 5]);
  session.listen(true, 40);
  t.deepEqual([session.unread, session.heardMs], [false, 40]);
});
