/** `main.ts migrate`: what an init container runs, also beside coordinators that start and others of its kind. */
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import test from 'ava';
import { service } from 'grpc-health-check';
import { startCoordinator } from '../support/coordinator.ts';
import { createEmptyDatabase } from '../support/database.ts';
import { freePort } from '../support/free_port.ts';
import { startScript } from '../support/processes.ts';

const MAIN = new URL('../../coordinator/main.ts', import.meta.url).pathname;
const HealthClient = makeGenericClientConstructor(service, 'Health');
type Check = (request: { service: string }, callback: (error: Error | null, answer: { status: string }) => void) => void;

const run = async (parameters: string[], environment: Record<string, string>) => {
  const { exited, logs } = await startScript(MAIN, parameters, environment);
  return { code: await exited, log: logs.join('\n') };
};

test('it migrates and ends, however many do at once; then a coordinator starts, and answers its probes', async (t) => {
  const database = await createEmptyDatabase();
  t.teardown(() => database.drop());
  const runs = await Promise.all([1, 2].map(() => run(['migrate'], { DATABASE_URL: database.url })));
  for (const { code, log } of runs) {
    t.is(code, 0, log);
    t.true(log.includes('"event":"migrated"'));
  }
  const healthAddress = `127.0.0.1:${await freePort()}`;
  const coordinator = await startCoordinator({ databaseUrl: database.url, environment: { SKIPLEASE_HEALTH_ADDRESS: healthAddress } });
  const client = new HealthClient(healthAddress, credentials.createInsecure());
  for (const probe of ['startup', 'readiness', 'liveness']) {
    t.is(await new Promise((resolve) => {
      (client.Check as Check).call(client, { service: probe }, (error, answer) => resolve(error ?? answer.status));
    }), 'SERVING');
  }
  client.close();
  t.is(await coordinator.stop(), 0);
});

test('without a database, or with another command, it says what to do and exits with 1', async (t) => {
  for (const [parameters, reason] of [[['migrate'], 'set DATABASE_URL'], [['serve'], 'Its one command is migrate'], [['migrate', 'now'], 'Its one command is migrate']] as const) {
    const { code, log } = await run([...parameters], { DATABASE_URL: '' });
    t.is(code, 1);
    t.true(log.includes(reason), log);
  }
});
