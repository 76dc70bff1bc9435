import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestAuthority } from '../../support/certificates.ts';
import { freePort } from '../../support/free_port.ts';
import { startProcess, type TestProcess } from '../../support/processes.ts';
import { testRunFolder } from '../../support/run_folder.ts';
import { waitFor } from '../../support/wait.ts';
import { Api } from './api.ts';

const READY_DEADLINE_MS = 120_000;
const TOKEN = 'administrator';
/** No other controller: whatever else a cluster does has no part in this. */
const CONTROLLERS = ['deployment-controller', 'replicaset-controller', 'horizontal-pod-autoscaler-controller'];

export interface Cluster {
  api: Api;
  /** For programs that want a file. */
  kubeconfig: string;
  /** A folder of the cluster's own. */
  folder: string;
  authority: TestAuthority;
  end(): Promise<void>;
}

/** etcd, the API server and the controllers of the program that control_plane.go makes, on loopback, without nodes. */
export async function startCluster(program: string): Promise<Cluster> {
  const folder = await mkdtemp(join(await testRunFolder(), 'cluster-'));
  const authority = await TestAuthority.create(folder);
  const server = await authority.issue('server', 'DNS:localhost,IP:127.0.0.1');
  const aggregator = await authority.issue('aggregator', 'DNS:aggregator');
  const running: TestProcess[] = [];
  const start = async (name: string, flags: Record<string, string>) => {
    const started = await startProcess(program, [name, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)], {});
    running.push(started);
    return started;
  };
  const end = async () => {
    for (const started of running.toReversed()) await started.stop(30_000);
  };

  try {
    const [etcdUrl, peerUrl, port] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`, String(await freePort())];
    await start('etcd', {
      'data-dir': join(folder, 'etcd'), 'unsafe-no-fsync': 'true', 'log-level': 'warn',
      'listen-client-urls': etcdUrl, 'advertise-client-urls': etcdUrl,
      'listen-peer-urls': peerUrl, 'initial-advertise-peer-urls': peerUrl, 'initial-cluster': `default=${peerUrl}`,
    });
    const tokens = join(folder, 'tokens.csv');
    await writeFile(tokens, `${TOKEN},administrator,administrator,"system:masters"\n`);
    const apiServer = await start('kube-apiserver', {
      'etcd-servers': etcdUrl,
      'bind-address': '127.0.0.1', 'advertise-address': '127.0.0.1', 'secure-port': port,
      'tls-cert-file': server.certFile, 'tls-private-key-file': server.keyFile, 'cert-dir': folder,
      'token-auth-file': tokens, 'authorization-mode': 'RBAC',
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-signing-key-file': server.keyFile, 'service-account-key-file': server.certFile,
      // Which service is the API server's own, nobody here asks; and its address on loopback would be refused.
      'endpoint-reconciler-type': 'none', 'service-cluster-ip-range': '10.96.0.0/16',
      'requestheader-client-ca-file': authority.certificate.certFile, 'requestheader-allowed-names': 'aggregator',
      'requestheader-username-headers': 'X-Remote-User', 'requestheader-group-headers': 'X-Remote-Group', 'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      'proxy-client-cert-file': aggregator.certFile, 'proxy-client-key-file': aggregator.keyFile,
    });
    const api = new Api(`https://127.0.0.1:${port}`, authority.certificate.cert, TOKEN);
    const ready = waitFor(() => api.ready().then((answer) => answer === 'ok', () => false), { deadlineMs: READY_DEADLINE_MS, what: 'the API server to be ready' });
    await Promise.race([ready, apiServer.exited.then((code) => {
      throw new Error(`The API server ended (${code}):\n${apiServer.logs.slice(-40).join('\n')}`);
    })]);

    const kubeconfig = join(folder, 'kubeconfig');
    // JSON is YAML.
    await writeFile(kubeconfig, JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'loopback', cluster: { server: api.url, 'certificate-authority': authority.certificate.certFile } }],
      users: [{ name: 'administrator', user: { token: TOKEN } }],
      contexts: [{ name: 'loopback', context: { cluster: 'loopback', user: 'administrator' } }],
      'current-context': 'loopback',
    }));
    await start('kube-controller-manager', {
      kubeconfig, controllers: CONTROLLERS.join(','), 'leader-elect': 'false', 'secure-port': '0',
      // Each controller has the rights that Kubernetes gives it, and no more.
      'use-service-account-credentials': 'true',
    });
    return { api, kubeconfig, folder, authority, end };
  } catch (error) {
    await end();
    throw error;
  }
}
