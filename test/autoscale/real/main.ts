/**
 * `deploy/k8s/real_hpa.sh [--jobs N]`: Kubernetes' own HorizontalPodAutoscaler scales real workers by our manifests, through a burst and its long
 * tail back to one; exits 1 when what must hold did not.
 */
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { startWorld } from '../../support/lease_world.ts';
import { startPrometheus } from '../../support/prometheus.ts';
import { horizontalPodAutoscaler } from '../manifests.ts';
import { describeRun, problemsOf } from '../verdict.ts';
import { startAdapter } from './adapter.ts';
import { startCluster } from './cluster.ts';
import { replay } from './replay.ts';
import { QUEUE, runWaves } from './run.ts';

const { values } = parseArgs({
  options: {
    'control-plane': { type: 'string' }, adapter: { type: 'string' },
    jobs: { type: 'string', default: '16000' },
  },
});
if (values['control-plane'] === undefined || values.adapter === undefined) {
  throw new Error('deploy/k8s/real_hpa.sh builds what this runs, and runs it.');
}
const say = (line: string) => process.stdout.write(`${line}\n`);
// The tail lasts until the last worker but one is told to go: each has something in hand as a rule.
const waves = [
  { atSeconds: 0, jobs: Number(values.jobs), overSeconds: 0, workSeconds: 1 },
  { atSeconds: 120, jobs: 140, overSeconds: 490, workSeconds: 25 },
];

const ends: (() => Promise<unknown>)[] = [];
try {
  const world = await startWorld({ coordinators: 2, leaseTtlMs: 10_000, environment: { SKIPLEASE_REBALANCE_MS: '1000' } });
  ends.push(() => world.end());
  // Its workload is missing, and not zero, until there is one.
  await world.members[0]!.operator.update(QUEUE, {});
  const prometheus = await startPrometheus(world.members.map(({ httpAddress }) => httpAddress), '5s');
  ends.push(() => prometheus.stop());
  const cluster = await startCluster(values['control-plane']);
  ends.push(() => cluster.end());
  const adapter = await startAdapter(values.adapter, cluster, prometheus.url);
  ends.push(() => adapter.stop());
  for (const manifest of (await text(process.stdin)).split('---\n')) await cluster.api.apply(manifest);
  const spec = await horizontalPodAutoscaler();
  const run = await runWaves(world, cluster.api, spec, waves, say);
  say(`the simulation, shown the same workload, goes through ${replay(spec, run.points).join(', ')}`);
  say(describeRun(run));
  const problems = problemsOf(run, { waves });
  if (run.points.every(({ replicas }) => replicas <= spec.minReplicas)) problems.push('no worker was added');
  problems.forEach((problem) => say(`FAILED ${problem}`));
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  for (const end of ends.toReversed()) await end();
}
