/** What the kubelet is told, in each state of a coordinator. */
import { credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import { service } from 'grpc-health-check';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { serveProbes } from '../../coordinator/rpc/probes.ts';

const HealthClient = makeGenericClientConstructor(service, 'Health');
type Check = (request: { service: string }, callback: (error: ServiceError | null, answer: { status: string }) => void) => void;

const ANY_PORT = { host: '127.0.0.1', port: 0 };

test('startup, readiness and liveness, from the start to the end; liveness asks nothing of the database', async (t) => {
  let reason: string | undefined = 'starting';
  const probes = await serveProbes(ANY_PORT, () => reason);
  const client = new HealthClient(probes.address, credentials.createInsecure());
  const ask = (name: string) => new Promise<string>((resolve, reject) => {
    (client.Check as Check).call(client, { service: name }, (error, answer) => (error ? reject(error) : resolve(answer.status)));
  });
  for (const [state, startup, readiness] of [
    ['starting', 'NOT_SERVING', 'NOT_SERVING'],
    [undefined, 'SERVING', 'SERVING'],
    ['database away', 'SERVING', 'NOT_SERVING'],
    ['draining', 'SERVING', 'NOT_SERVING'],
  ] as const) {
    reason = state;
    t.deepEqual([await ask('startup'), await ask('readiness'), await ask('liveness'), await ask('')], [startup, readiness, 'SERVING', readiness], state);
  }
  t.like(await t.throwsAsync<ServiceError>(ask('toString')), { code: status.NOT_FOUND, details: 'There is no probe "toString": liveness, startup, readiness.' });
  client.close();

  const port = Number(probes.address.split(':').at(-1));
  const error = await t.throwsAsync(serveProbes({ ...ANY_PORT, port }, () => undefined), { instanceOf: SkipleaseError });
  t.is(error.reason, 'HEALTH_ADDRESS_UNUSABLE');
  t.regex(error.message, /port is taken.*SKIPLEASE_HEALTH_ADDRESS/);
  await probes.stop();
});
