import { setTimeout as delay } from 'node:timers/promises';
import { JobClient, newJobId } from '../../worker/index.ts';
import type { World } from '../support/lease_world.ts';
import { makeEffectsFile, readEffects, timesDone } from '../support/lease_workers.ts';
import { Fleet, type Ending } from './fleet.ts';
import { SYNC_PERIOD_SECONDS } from './horizontal_pod_autoscaler.ts';
import { Keda, type ScaledObjectSpec } from './keda.ts';
import { askScaler } from './readings.ts';
import type { Scenario, Wave } from './scenario.ts';

const QUEUE = 'scaled';
/** Real time, in which running jobs may end at SIGTERM, and the process with them: a machine is no faster because time is said to be. */
const DRAIN_DEADLINE_MS = 2_000;
const GRACE_MS = 15_000;
/** Simulated seconds from one point of the plot to the next. */
const POINT_SECONDS = 5;
/** Real time after the end of the scenario for all to be done, and everybody to have gone home; and then for their outcomes to be on record. */
const REST_MS_MAX = 90_000;
const LAST_JOBS_MS = 10_000;

/** What was seen at one moment. */
export interface Point {
  atSeconds: number;
  workload: number | undefined;
  replicas: number;
  terminating: number;
}

export interface Run {
  points: Point[];
  endings: Ending[];
  jobs: number;
  /** Jobs that succeeded, at their first attempt. */
  succeeded: number;
  /** Attempts that failed or expired. */
  spent: number;
  /** Jobs whose handler came to its end more than once. */
  repeated: number;
  /** Times that replicas went up after they had gone down, or down after up. */
  turns: number;
  /** When the last job had ended: simulated seconds. */
  doneSeconds: number;
}

/** Runs a scenario against real coordinators with real workers, which KEDA's and the HorizontalPodAutoscaler's arithmetic starts and stops. */
export async function simulate(world: World, spec: ScaledObjectSpec, scenario: Scenario): Promise<Run> {
  const { speed, concurrency } = scenario;
  const effectsFile = await makeEffectsFile();
  const fleet = new Fleet({ addresses: world.addresses, queue: QUEUE, effectsFile, concurrency, drainDeadlineMs: DRAIN_DEADLINE_MS }, GRACE_MS);
  const keda = new Keda(spec);
  const reading = askScaler(world.addresses.at(-1)!, { queue: QUEUE, target: String(spec.autoscaler.averageValue) });
  const startedMs = performance.now();
  const nowSeconds = () => ((performance.now() - startedMs) / 1_000) * speed;
  const until = (atSeconds: number) => delay(Math.max(0, ((atSeconds - nowSeconds()) / speed) * 1_000));
  const points: Point[] = [];
  const wanted: number[] = [];
  let desired = spec.minReplicaCount;
  const scale = (replicas: number) => {
    if (replicas !== desired) {
      wanted.push(replicas - desired);
      desired = replicas;
      void fleet.scaleTo(replicas);
    }
  };
  let active = false;
  reading.onActive = (now) => {
    active = now;
    scale(keda.activity(nowSeconds(), desired, active));
  };

  try {
    await fleet.scaleTo(desired);
    const submitting = submitWaves(world, QUEUE, scenario, until);
    let nextSyncSeconds = SYNC_PERIOD_SECONDS;
    const atRest = () => points.at(-1)!.workload === 0 && desired === spec.minReplicaCount && fleet.replicas === desired;
    const lastSeconds = scenario.endSeconds + (REST_MS_MAX / 1_000) * speed;
    for (let atSeconds = POINT_SECONDS; atSeconds <= scenario.endSeconds || (atSeconds <= lastSeconds && !atRest()); atSeconds += POINT_SECONDS) {
      await until(atSeconds);
      const workload = await reading.metric();
      if (nowSeconds() >= nextSyncSeconds) {
        nextSyncSeconds += SYNC_PERIOD_SECONDS;
        scale(keda.sync(nowSeconds(), desired, workload));
        scale(keda.activity(nowSeconds(), desired, active));
      }
      points.push({ atSeconds: nowSeconds(), workload, replicas: fleet.replicas, terminating: fleet.terminating });
    }
    const jobIds = await submitting;
    const ended = await world.records.untilEnded(jobIds, LAST_JOBS_MS);
    await fleet.end();
    const times = timesDone(await readEffects(effectsFile));
    return {
      points,
      endings: fleet.endings,
      jobs: jobIds.length,
      succeeded: ended.filter(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1).length,
      spent: (await world.records.tried(jobIds)).length,
      repeated: [...times.values()].filter((count) => count > 1).length,
      turns: wanted.filter((change, index) => index > 0 && Math.sign(change) !== Math.sign(wanted[index - 1]!)).length,
      doneSeconds: points.findLast(({ workload }) => workload !== 0)?.atSeconds ?? 0,
    };
  } finally {
    reading.close();
    await fleet.end();
  }
}

/** Resolves to the ids of all jobs once the last is submitted. */
export async function submitWaves(
  world: World, queue: string, { waves, speed }: Pick<Scenario, 'waves' | 'speed'>, until: (atSeconds: number) => Promise<void>,
): Promise<string[]> {
  const client = new JobClient({ addresses: world.addresses });
  const submit = async ({ workSeconds }: Wave, count: number) => {
    const payload = { workMs: (workSeconds / speed) * 1_000 };
    return (await client.submitMany(Array.from({ length: count }, () => ({ id: newJobId(), queue, type: 'work', payload })))).map(({ id }) => id);
  };
  try {
    const ids = await Promise.all(waves.map(async (wave) => {
      const portions = wave.overSeconds === 0 ? 1 : wave.jobs;
      const own: string[] = [];
      for (let portion = 0; portion < portions; portion += 1) {
        await until(wave.atSeconds + (wave.overSeconds * portion) / portions);
        own.push(...await submit(wave, wave.jobs / portions));
      }
      return own;
    }));
    return ids.flat();
  } finally {
    client.close();
  }
}
