import { interleaved, type BenchContext, type Rounds } from './context.ts';
import { floodRun, type FloodKind, type FloodResult } from './flood_run.ts';

/** Every contestant in turn, as many rounds as asked for. */
export function runFlood(context: BenchContext, kind: FloodKind): Promise<Rounds<FloodResult>> {
  return interleaved(
    context,
    kind,
    context.contestants,
    (contestant) => floodRun(context, contestant, kind),
    ({ jobsPerSecond }) => `${Math.round(jobsPerSecond)} jobs/s`,
  );
}
