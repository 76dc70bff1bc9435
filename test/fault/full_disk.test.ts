/** The database's disk is full: nothing is accepted that is not kept, and all goes on once there is room. */
import { setTimeout as delay } from 'node:timers/promises';
import type { EmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { findLivePostmaster } from '../../coordinator/embedded/postmaster_file.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { JobClient, SkipleaseError } from '../../worker/index.ts';
import { succeeded } from '../support/lease_client.ts';
import { startWorld } from '../support/lease_world.ts';
import { makeServerFolder, startPrivateServer } from '../support/private_server.ts';
import { testWhen } from '../support/skip.ts';
import { canMount, mountSmallDisk } from '../support/small_disk.ts';
import { startSteadyLoad } from '../support/steady_load.ts';

const DISK_MEGABYTES = 192;
const SETTINGS = { max_wal_size: '48MB', min_wal_size: '32MB', shared_buffers: '16MB' };
const PAYLOAD = { text: 'x'.repeat(100_000) };
/** Submits that are refused in a row, until we believe that it is full. */
const REFUSED = 20;
const QUEUE = 'full';

testWhen(await canMount(), 'to mount a small disk (root)')('the disk is full for a while', async (t) => {
  const dataFolder = await makeServerFolder();
  const disk = await mountSmallDisk(dataFolder, DISK_MEGABYTES);
  let server: EmbeddedPostgres = await startPrivateServer({ dataFolder, settings: SETTINGS });
  await migrate(server.url);
  const world = await startWorld({ coordinators: 2, leaseTtlMs: 3_000, databaseUrl: server.url });
  const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 10, triesMax: 100 });
  t.teardown(async () => {
    await load.stop();
    await world.end();
    await server.stop();
    await disk.unmount();
  });
  await load.more(100);
  const [held] = await world.submit('by.hand', 1);
  const stream = await world.worker({ queues: ['by.hand'] }, 1);
  const { token } = await stream.next('lease');

  await disk.fill();
  const heavy: string[] = [];
  const codes = new Map<string, number>();
  for (let refused = 0; refused < REFUSED; ) {
    try {
      heavy.push((await world.members[0]!.client.submit({ queue: QUEUE, type: 'work', payload: PAYLOAD })).id);
    } catch (error) {
      if (!(error instanceof SkipleaseError)) throw error;
      codes.set(`${error.code} ${error.reason}`, (codes.get(`${error.code} ${error.reason}`) ?? 0) + 1);
      refused += 1;
      await delay(50);
    }
  }
  t.log(`${heavy.length} more were accepted, then refused with`, Object.fromEntries(codes));
  t.true([...codes.keys()].every((code) => code.startsWith('UNAVAILABLE')), 'a client is told to come again');

  await disk.free();
  // Where not even the log could be written PostgreSQL has ended itself: what it had answered is in the log.
  if ((await findLivePostmaster(server.postgresFolder)) === undefined) {
    await server.stop();
    server = await startPrivateServer({ dataFolder, settings: SETTINGS, port: server.port });
    t.log('PostgreSQL had ended itself');
  }
  await load.more(100);
  const accepted = [...(await load.stopSubmitting()), ...heavy];
  const ended = await world.records.untilEnded(accepted);
  t.is(ended.length, accepted.length);
  t.true(ended.every(({ state }) => state === 'SUCCEEDED'));
  t.deepEqual(ended.filter(({ attempt }) => attempt !== 1), []);
  t.deepEqual([...load.begun].filter(([, times]) => times !== 1), [], 'no handler ran twice');

  // The lease by hand was held through it, on this stream or on a next one that names it.
  const again = await world.worker({ queues: ['by.hand'], instanceId: stream.instanceId, heldTokens: [token] });
  t.deepEqual((await again.report(token, [succeeded(held!)])).jobs.map(({ status }) => status), [1]);
  const client = new JobClient({ addresses: world.addresses });
  t.is((await client.get(held!)).state, 'SUCCEEDED');
  client.close();
});
