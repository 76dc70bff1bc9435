import { setTimeout as delay } from 'node:timers/promises';
import type { World } from '../../support/lease_world.ts';
import { makeEffectsFile, readEffects, timesDone } from '../../support/lease_workers.ts';
import { startWorker } from '../fleet.ts';
import type { AutoscalerSpec } from '../horizontal_pod_autoscaler.ts';
import { scrapeWorkload } from '../readings.ts';
import type { Wave } from '../scenario.ts';
import { submitWaves, type Point, type Run } from '../simulation.ts';
import type { Api } from './api.ts';
import { Kubelet } from './kubelet.ts';
import { changes } from './replay.ts';

export const QUEUE = 'payments';
const NAMESPACE = 'skiplease';
const APP = 'payments-worker';
const AUTOSCALER = `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers/skiplease-${APP}`;
const DEPLOYMENT = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${APP}`;
/** Jobs that one worker runs at once. */
const CONCURRENCY = 20;
const DRAIN_DEADLINE_MS = 30_000;
const LOOK_MS = 250;
/** A line is printed so often, and whenever the wanted replicas change. */
const PRINT_SECONDS = 15;
/** For the autoscaler to have seen its metric, and its one worker. */
const ACTIVE_MS_MAX = 180_000;
const RUN_MS_MAX = 40 * 60_000;
const LAST_JOBS_MS = 30_000;

/** What Kubernetes says at one moment. */
interface Scaled {
  wanted: number;
  ready: number;
  /** For each replica, as the autoscaler last saw it. */
  seen: number | undefined;
  /** The autoscaler has its metric. */
  active: boolean;
}

interface Autoscaler {
  status?: {
    desiredReplicas: number;
    conditions?: { type: string; status: string }[];
    currentMetrics?: { external?: { current: { averageValue: string } } }[];
  };
}

/** Puts waves of jobs before the workers that Kubernetes scales, and looks on until all is done and no more than the least are left. */
export async function runWaves(world: World, api: Api, spec: AutoscalerSpec, waves: readonly Wave[], say: (line: string) => void): Promise<Run> {
  const effectsFile = await makeEffectsFile();
  const options = { addresses: world.addresses, queue: QUEUE, effectsFile, concurrency: CONCURRENCY, drainDeadlineMs: DRAIN_DEADLINE_MS };
  const kubelet = new Kubelet(api, NAMESPACE, `app.kubernetes.io/name=${APP}`, (workerId) => startWorker({ ...options, workerId }));
  const look = async (): Promise<Scaled> => {
    await Promise.all([kubelet.sync(), delay(LOOK_MS)]);
    return scaled(api);
  };

  try {
    const atRest = ({ wanted, ready }: Scaled) => wanted === spec.minReplicas && ready === wanted && kubelet.terminating === 0;
    const waitingMs = performance.now();
    // Before its first worker is there it divides by none, and what it then shows is no number.
    for (let now = await look(); !(now.active && now.seen === 0 && atRest(now)); now = await look()) {
      if (performance.now() - waitingMs > ACTIVE_MS_MAX) throw new Error(`The autoscaler does not see its metric: ${JSON.stringify(now)}`);
    }
    const startedMs = performance.now();
    const until = (atSeconds: number) => delay(Math.max(0, startedMs + atSeconds * 1_000 - performance.now()));
    let submitted = false;
    const submitting = submitWaves(world, QUEUE, { waves, speed: 1 }, until).finally(() => {
      submitted = true;
    });
    // Awaited at the end: who throws before must not hide its failure.
    submitting.catch(() => undefined);
    const points: Point[] = [];
    const wanted: number[] = [];
    let printedSeconds = -Infinity;
    say(row('seconds', 'workload', 'seen for each', 'wanted', 'ready', 'leaving'));
    let working = true;
    while (working) {
      const now = await look();
      const workload = await scrapeWorkload(world.members.map(({ httpAddress }) => httpAddress), QUEUE);
      const atSeconds = (performance.now() - startedMs) / 1_000;
      if (now.wanted !== wanted.at(-1) || atSeconds - printedSeconds >= PRINT_SECONDS) {
        printedSeconds = atSeconds;
        say(row(atSeconds.toFixed(0), workload ?? '-', now.seen?.toFixed(0) ?? '-', now.wanted, now.ready, kubelet.terminating));
      }
      wanted.push(now.wanted);
      points.push({ atSeconds, workload, replicas: now.ready, terminating: kubelet.terminating });
      working = !(submitted && workload === 0 && atRest(now)) && atSeconds * 1_000 < RUN_MS_MAX;
    }
    const jobIds = await submitting;
    const ended = await world.records.untilEnded(jobIds, LAST_JOBS_MS);
    const sizes = changes(wanted);
    const steps = sizes.slice(1).map((size, index) => Math.sign(size - sizes[index]!));
    say(`Kubernetes went through ${sizes.join(', ')}`);
    await kubelet.end();
    const times = timesDone(await readEffects(effectsFile));
    return {
      points,
      endings: kubelet.endings,
      jobs: jobIds.length,
      succeeded: ended.filter(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1).length,
      spent: (await world.records.tried(jobIds)).length,
      repeated: [...times.values()].filter((count) => count > 1).length,
      turns: changes(steps).length - 1,
      doneSeconds: points.findLast(({ workload }) => workload !== 0)?.atSeconds ?? 0,
    };
  } finally {
    await kubelet.end();
  }
}

async function scaled(api: Api): Promise<Scaled> {
  const [{ status: autoscaler }, { status: deployment }] = await Promise.all([
    api.get<Autoscaler>(AUTOSCALER), api.get<{ status?: { readyReplicas?: number } }>(DEPLOYMENT),
  ]);
  const seen = autoscaler?.currentMetrics?.[0]?.external?.current.averageValue;
  return {
    wanted: autoscaler?.desiredReplicas ?? 0,
    ready: deployment?.readyReplicas ?? 0,
    seen: seen === undefined ? undefined : quantity(seen),
    active: autoscaler?.conditions?.some(({ type, status }) => type === 'ScalingActive' && status === 'True') ?? false,
  };
}

/** What Kubernetes writes as 1500m, 1500 or 15k. */
function quantity(text: string): number {
  const factors: Record<string, number> = { m: 1e-3, k: 1e3, M: 1e6 };
  return Number.parseFloat(text) * (factors[text.at(-1)!] ?? 1);
}

function row(...cells: (string | number)[]): string {
  return cells.map((cell) => String(cell).padStart(14)).join('');
}
