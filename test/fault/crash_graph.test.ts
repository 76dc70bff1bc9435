/** A coordinator is killed in the middle of a graph that grows by follow-ups: none of it is lost, doubled or done in part. */
import test from 'ava';
import { JobClient, Worker } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

const DEADLINE_MS = 60_000;
const PARENTS = 150;

/** Of each parent, in one snapshot: has it succeeded, how many jobs follow it, how many of those have succeeded. */
const FAMILIES = `
  select p.id, exists (select from skiplease.outcome where job_id = p.id and state = 4) as succeeded,
         count(c.id)::int as children, count(o.job_id)::int as done
    from skiplease.job p
    left join skiplease.job c on c.headers->>'parent' = p.id::text
    left join skiplease.outcome o on o.job_id = c.id and o.state = 4
   where p.type = 'parent' group by p.id`;

test('each success has its follow-ups, and no other; what waited for a job of the dead one goes on', async (t) => {
  const world = await startWorld({ coordinators: 2 });
  t.teardown(() => world.end());
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const workers = world.addresses.map((address, index) => new Worker({
    // Each at home on a coordinator of its own.
    addresses: [address, world.addresses[1 - index]!], queues: ['family'], concurrency: 4, handleSignals: false, drainDeadlineMs: 0, logger: new KeptLog(),
    handlers: {
      parent: (job, context) => {
        const child = { queue: 'family', type: 'child', headers: { parent: job.id } };
        const first = context.followUp({ ...child, afterJobIds: [job.id] });
        const second = context.followUp({ ...child, afterJobIds: [first] });
        context.followUp({ ...child, afterJobIds: [first, second] });
      },
      child: () => {},
      last: () => {},
    },
  }));
  const running = workers.map((worker) => worker.run());
  const parents = await client.submitMany(Array.from({ length: PARENTS }, () => ({ queue: 'family', type: 'parent' })));
  const last = await client.submit({ queue: 'family', type: 'last', afterJobIds: parents.map(({ id }) => id) });

  const look = async (): Promise<{ succeeded: number; done: number }> => {
    const families = await world.records.rows<{ succeeded: boolean; children: number; done: number }>(FAMILIES);
    t.true(families.every(({ succeeded, children }) => children === (succeeded ? 3 : 0)), 'all of them are committed with the success, or none');
    return { succeeded: families.filter(({ succeeded }) => succeeded).length, done: families.reduce((sum, { done }) => sum + done, 0) };
  };
  await waitFor(async () => (await look()).succeeded > PARENTS / 10, { deadlineMs: DEADLINE_MS, what: 'a tenth of the parents' });
  world.members[0]!.kill('SIGKILL');
  await waitFor(async () => (await look()).done === 3 * PARENTS, { deadlineMs: DEADLINE_MS, what: 'every child' });
  await waitFor(async () => (await client.get(last.id)).state === 'SUCCEEDED', { deadlineMs: DEADLINE_MS, what: 'the last' });
  t.deepEqual(await world.records.rows('select * from skiplease.dependency union all select job_id, job_id, true from skiplease.blocked'), []);

  await Promise.all(workers.map((worker) => worker.stop()));
  await Promise.all(running);
});
