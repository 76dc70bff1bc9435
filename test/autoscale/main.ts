/**
 * `npm run autoscale -- [--plot FILE.svg] [--speed N]`: workers are scaled through a burst, its long tail and a lull, as KEDA and
 * Kubernetes would with the windows and policies of deploy/k8s; exits 1 when what must hold did not.
 */
import { parseArgs } from 'node:util';
import { startWorld } from '../support/lease_world.ts';
import { installPeers } from '../bench/peers/install.ts';
import { scaledObject } from './manifests.ts';
import { BURST_TAIL_LULL } from './scenario.ts';
import { simulate } from './simulation.ts';
import { describeRun, problemsOf } from './verdict.ts';

const { values } = parseArgs({ options: { plot: { type: 'string' }, speed: { type: 'string', default: String(BURST_TAIL_LULL.speed) } } });
const say = (line: string) => process.stdout.write(`${line}\n`);
const scenario = { ...BURST_TAIL_LULL, speed: Number(values.speed) };
const { autoscaler, ...spec } = await scaledObject('keda-external');
// One worker here is one process of four jobs at once, and one machine has no room for twenty.
const smaller = { ...spec, autoscaler: { ...autoscaler, averageValue: 20, maxReplicas: 8 } };

const world = await startWorld({ coordinators: 2, environment: { SKIPLEASE_REBALANCE_MS: '1000' } });
try {
  say(`${scenario.endSeconds} s in ${Math.round(scenario.endSeconds / scenario.speed)} s, two coordinators, up to ${smaller.autoscaler.maxReplicas} workers`);
  const run = await simulate(world, smaller, scenario);
  say(describeRun(run));
  if (values.plot !== undefined) {
    await installPeers(say);
    const { writeAutoscalePlot } = await import('../bench/peers/draw_autoscale.ts');
    await writeAutoscalePlot(values.plot, run.points);
  }
  const problems = problemsOf(run, scenario);
  problems.forEach((problem) => say(`FAILED ${problem}`));
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await world.end();
}
