import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../support/free_port.ts';
import { startProcess, type TestProcess } from '../../support/processes.ts';
import { waitFor } from '../../support/wait.ts';
import type { Cluster } from './cluster.ts';

const VALUES = new URL('../../../deploy/k8s/components/prometheus-adapter/adapter-values.yaml', import.meta.url);
const READY_DEADLINE_MS = 120_000;

/** Prometheus' adapter with our rules, as its chart installs it, and Kubernetes told of it. Resolves when external metrics are served. */
export async function startAdapter(program: string, { api, kubeconfig, folder, authority }: Cluster, prometheusUrl: string): Promise<TestProcess> {
  const config = join(folder, 'adapter.yaml');
  await writeFile(config, await adapterConfig());
  const certificate = await authority.issue('adapter', 'DNS:localhost,IP:127.0.0.1');
  const port = await freePort();
  const running = await startProcess(program, [
    `--config=${config}`, `--prometheus-url=${prometheusUrl}`, '--metrics-relist-interval=1m',
    `--lister-kubeconfig=${kubeconfig}`, `--authentication-kubeconfig=${kubeconfig}`, `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1', `--secure-port=${port}`, `--tls-cert-file=${certificate.certFile}`, `--tls-private-key-file=${certificate.keyFile}`,
  ], {});
  await api.create('/api/v1/namespaces', { metadata: { name: 'monitoring' } });
  // The chart's Service has pods behind it. An address on loopback may be no endpoint, but a name may lead there.
  await api.create('/api/v1/namespaces/monitoring/services', { metadata: { name: 'prometheus-adapter' }, spec: { type: 'ExternalName', externalName: 'localhost' } });
  await api.create('/apis/apiregistration.k8s.io/v1/apiservices', {
    metadata: { name: 'v1beta1.external.metrics.k8s.io' },
    spec: {
      group: 'external.metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true,
      service: { name: 'prometheus-adapter', namespace: 'monitoring', port },
    },
  });
  const serves = () => api.get<{ resources: { name: string }[] }>('/apis/external.metrics.k8s.io/v1beta1')
    .then(({ resources }) => resources.some(({ name }) => name === 'skiplease_workload_jobs'), () => false);
  try {
    await waitFor(serves, { deadlineMs: READY_DEADLINE_MS, what: 'the adapter to serve skiplease_workload_jobs' });
  } catch (error) {
    const logs = running.logs.slice(-20).join('\n');
    await running.stop();
    throw new Error(`${(error as Error).message}\n${logs}`, { cause: error });
  }
  return running;
}

/** What the chart makes of its value `rules.external`: the last one of the file. */
async function adapterConfig(): Promise<string> {
  const [, rules] = (await readFile(VALUES, 'utf8')).split('\n  external:\n');
  return `externalRules:\n${rules}`;
}
