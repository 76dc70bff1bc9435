/** Word of a cancel may come before the lease that it is about: then the worker is told as soon as the lease is here, and once. */
import test from 'ava';
import { Cancels } from '../../coordinator/engine/cancels.ts';
import { HeldLease } from '../../coordinator/engine/held_lease.ts';
import type { CancelMessage } from '../../coordinator/engine/messages.ts';
import { Session, type SessionPort } from '../../coordinator/engine/session.ts';
import type { Sessions } from '../../coordinator/engine/sessions.ts';
import { newSecret } from '../../coordinator/engine/token.ts';
import type { Store } from '../../coordinator/store/store.ts';
import { waitFor } from '../support/wait.ts';

const JOB = { sessionId: 's', leaseId: '7', jobId: 'b', reason: 'no more' };

/** A session of two jobs under lease 7, neither known yet. */
function world() {
  const sent: CancelMessage[] = [];
  const known = new Map<string, Session>();
  const port = { cancel: (message: CancelMessage) => sent.push(message) > 0 } as unknown as SessionPort;
  const session = new Session({ id: 's', workerId: 'w', instanceId: 'i', identity: '', queues: new Map([['q', 0]]), window: { jobs: 10, bytes: 1_000 }, leaseBytesMax: 600, port, nowMs: 0 });
  const lease = new HeldLease({ leaseId: 7n, secret: newSecret(), queueId: 1, jobIds: ['a', 'b'], attempts: [1, 1], bytes: [50, 50], grantedMs: 0 });
  const cancels = new Cancels({ coordinatorId: 'c', store: {} as Store, sessions: { get: (id: string) => known.get(id) } as Sessions, roomMade: () => {} });
  return { sent, known, session, lease, cancels };
}

test('a worker is told of a cancel that came before its session and its lease did', async (t) => {
  const { sent, known, session, lease, cancels } = world();
  cancels.tell([JOB]);
  known.set('s', session);
  t.deepEqual(sent, []);
  session.take(lease);
  await waitFor(() => sent.length > 0, { deadlineMs: 2_000, what: 'the worker to be told' });
  t.like(sent[0], { token: lease.token, jobIds: ['b'], message: 'no more' });
  t.is(session.heldJobs, 1, 'its window has room again');
  cancels.close();
});

test('it is told once, however often word of it comes', (t) => {
  const { sent, known, session, lease, cancels } = world();
  known.set('s', session);
  session.take(lease);
  cancels.tell([JOB]);
  cancels.tell([JOB]);
  t.is(sent.length, 1);
  t.is(session.heldJobs, 1);
  cancels.close();
});
