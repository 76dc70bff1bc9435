/** What must agree between the manifests of deploy/k8s and the programs that they run. That they are valid, deploy/k8s/validate.sh says. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { readSettings } from '../../coordinator/config.ts';
import { settingsFrom } from '../../worker/options.ts';

const base = (file: string) => readFile(new URL(`../../deploy/k8s/base/${file}`, import.meta.url), 'utf8');

/** Every `key: value` of this key, in order. */
const valuesOf = (text: string, key: string) => [...text.matchAll(new RegExp(`^[ -]*${key}: (.*)$`, 'gm'))].map((match) => match[1]!);

test('the coordinator: its settings are settings, its ports those that it listens on, its probes those that it answers', async (t) => {
  const text = await base('coordinator.yaml');
  const environment = Object.fromEntries([...text.matchAll(/- name: (SKIPLEASE_\w+)\n +value: (.*)/g)].map(([, name, value]) => [name!, value!.replace('$(POD_IP)', '10.0.0.1').replaceAll('"', '')]));
  t.deepEqual(Object.keys(environment), ['SKIPLEASE_ADVERTISED_ADDRESS', 'SKIPLEASE_INSECURE', 'SKIPLEASE_GRPC_ADDRESS', 'SKIPLEASE_HTTP_ADDRESS', 'SKIPLEASE_HEALTH_ADDRESS']);
  const settings = readSettings(environment);
  const ports = [settings.grpcAddress.port, settings.httpAddress.port, settings.healthAddress!.port];
  t.deepEqual(valuesOf(text, 'containerPort').map(Number), ports);
  t.deepEqual([...text.matchAll(/grpc:\n +port: (\d+)\n +service: (\w+)/g)].map(([, port, service]) => [Number(port), service]),
    ['startup', 'readiness', 'liveness'].map((service) => [settings.healthAddress!.port, service]));
  const [graceSeconds, pauseSeconds] = [valuesOf(text, 'terminationGracePeriodSeconds'), valuesOf(text, 'seconds')].map(([value]) => Number(value));
  t.true(graceSeconds! * 1_000 >= pauseSeconds! * 1_000 + settings.drainDeadlineMs + 15_000);
  t.true(Number(valuesOf(text, 'replicas')[0]) >= 2);
  t.deepEqual(valuesOf(text, 'command'), ['[node, coordinator/main.ts, migrate]']);
});

test('the worker: nobody but the autoscaler says how many, and it has longer to go than it takes', async (t) => {
  const text = await base('worker.yaml');
  t.deepEqual(valuesOf(text, 'replicas'), []);
  const { drainDeadlineMs } = settingsFrom({ addresses: ['x:1'], queues: ['x'] });
  t.true(Number(valuesOf(text, 'terminationGracePeriodSeconds')[0]) * 1_000 >= drainDeadlineMs + 10_000);
  const [service, port] = /SKIPLEASE_ADDRESSES\n +value: (.*)/.exec(text)![1]!.split(':');
  const own = (await base('services.yaml')).split('---').find((document) => valuesOf(document, 'name').includes(service!))!;
  t.deepEqual([valuesOf(own, 'clusterIP'), valuesOf(own, 'port')], [['None'], [port]], 'a worker sees each coordinator');
});

test('every container is as the restricted standard wants it', async (t) => {
  for (const file of ['coordinator.yaml', 'worker.yaml']) {
    const text = await base(file);
    for (const line of ['runAsNonRoot: true', 'type: RuntimeDefault', 'allowPrivilegeEscalation: false', 'readOnlyRootFilesystem: true', 'drop: [ALL]', 'automountServiceAccountToken: false']) {
      t.true(text.includes(line), `${file}: ${line}`);
    }
  }
});
