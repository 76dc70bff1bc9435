import type { TestProcess } from '../../support/processes.ts';
import type { Ending } from '../fleet.ts';
import { ApiError, type Api } from './api.ts';

const NODE = 'loopback';

interface Pod {
  metadata: { name: string; deletionTimestamp?: string; deletionGracePeriodSeconds?: number };
  spec: { nodeName?: string; containers: { name: string; image: string }[] };
}

/** What a scheduler and the kubelet of one node do for the pods of a label: each is a process here. */
export class Kubelet {
  readonly endings: Ending[] = [];
  readonly #api: Api;
  readonly #pods: string;
  readonly #selector: string;
  readonly #start: (podName: string) => Promise<TestProcess>;
  readonly #running = new Map<string, TestProcess>();
  readonly #ending = new Map<string, Promise<void>>();

  constructor(api: Api, namespace: string, label: string, start: (podName: string) => Promise<TestProcess>) {
    this.#api = api;
    this.#pods = `/api/v1/namespaces/${namespace}/pods`;
    this.#selector = `labelSelector=${encodeURIComponent(label)}`;
    this.#start = start;
  }

  /** Pods that were told to stop, and have not ended yet. */
  get terminating(): number {
    return this.#ending.size;
  }

  /** One look: binds, starts and stops as the API server's pods say. */
  async sync(): Promise<void> {
    const { items } = await this.#api.get<{ items: Pod[] }>(`${this.#pods}?${this.#selector}`);
    await Promise.all(items.map((pod) => this.#syncPod(pod)));
  }

  /** Stops what still runs, whatever the API server says. */
  async end(): Promise<void> {
    for (const [name, running] of this.#running) this.#stop(name, running, 60_000);
    await Promise.all(this.#ending.values());
  }

  async #syncPod({ metadata: { name, deletionTimestamp, deletionGracePeriodSeconds }, spec }: Pod): Promise<void> {
    const path = `${this.#pods}/${name}`;
    const running = this.#running.get(name);
    if (deletionTimestamp !== undefined) {
      if (running !== undefined) {
        this.#stop(name, running, deletionGracePeriodSeconds! * 1_000);
      } else if (!this.#ending.has(name)) {
        await this.#api.remove(path, { gracePeriodSeconds: 0 }).catch(unlessGone);
      }
    } else if (running === undefined && !this.#ending.has(name)) {
      if (spec.nodeName === undefined) {
        await this.#api.create(`${path}/binding`, { metadata: { name }, target: { kind: 'Node', name: NODE } });
      }
      this.#running.set(name, await this.#start(name));
      await this.#api.merge(`${path}/status`, { status: readyStatus(spec) }).catch(unlessGone);
    }
  }

  #stop(name: string, running: TestProcess, graceMs: number): void {
    this.#running.delete(name);
    const startedMs = performance.now();
    this.#ending.set(name, running.stop(graceMs).then((code) => code, () => undefined).then((code) => {
      this.endings.push({ workerId: name, code, tookMs: performance.now() - startedMs });
      this.#ending.delete(name);
    }));
  }
}

/** Without a readiness probe a pod is ready once its containers run. */
function readyStatus({ containers }: Pod['spec']): object {
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    phase: 'Running',
    startTime: now,
    conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({ type, status: 'True', lastTransitionTime: now })),
    containerStatuses: containers.map(({ name, image }) => (
      { name, image, imageID: image, ready: true, started: true, restartCount: 0, state: { running: { startedAt: now } } })),
  };
}

function unlessGone(error: unknown): void {
  if (!(error instanceof ApiError && error.status === 404)) throw error;
}
