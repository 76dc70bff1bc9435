/** Workers are started and stopped as KEDA and the HorizontalPodAutoscaler say, through a burst, a long tail and a lull: the short form. */
import test from 'ava';
import { scaledObject } from '../autoscale/manifests.ts';
import type { Scenario } from '../autoscale/scenario.ts';
import { simulate } from '../autoscale/simulation.ts';
import { describeRun, problemsOf } from '../autoscale/verdict.ts';
import { startWorld } from '../support/lease_world.ts';
import type { World } from '../support/lease_world.ts';

let world: World;
test.before(async () => {
  world = await startWorld({ coordinators: 2 });
});
test.after.always(async () => {
  await world?.end();
});

const SHORT: Scenario = {
  waves: [
    { atSeconds: 20, jobs: 150, overSeconds: 0, workSeconds: 3 },
    { atSeconds: 60, jobs: 8, overSeconds: 80, workSeconds: 60 },
  ],
  endSeconds: 150,
  speed: 40,
  concurrency: 4,
};

test('from nothing and back: the backlog is cleared, nobody is killed at work, nothing flaps', async (t) => {
  const { autoscaler, ...spec } = await scaledObject('keda-external');
  const scaleDown = { ...autoscaler.scaleDown, stabilizationWindowSeconds: 100 };
  const run = await simulate(world, { ...spec, cooldownSeconds: 60, autoscaler: { ...autoscaler, averageValue: 20, maxReplicas: 3, scaleDown } }, SHORT);
  t.log(describeRun(run));
  t.deepEqual(problemsOf(run, SHORT), []);
  t.is(Math.max(...run.points.map(({ replicas }) => replicas)), 3);
  t.is(run.points[0]!.replicas, 0);
  t.is(run.points.at(-1)!.replicas, 0);
});
