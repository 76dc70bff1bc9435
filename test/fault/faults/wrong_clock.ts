import { findFakeTime, makeWallClock, type WallClock } from '../../support/wall_clock.ts';
import type { Fault, Strike } from '../fault.ts';
import type { KeptProcess } from '../lab/kept_process.ts';
import type { Lab } from '../lab/lab.ts';
import type { Random } from '../random.ts';

const LASTS_MS = [4_000, 12_000] as const;
const HOURS = 3_600;
/** Of a coordinator's clock nothing depends. */
const COORDINATOR_SECONDS = [-48 * HOURS, 48 * HOURS] as const;
/** Those who make ids must not be further off than ids may be: 24 hours behind, 5 minutes ahead. */
const WORKER_SECONDS = [-23 * HOURS, 240] as const;

const library = await findFakeTime();

/** Empty where libfaketime is not installed. */
export const wrongClocks: readonly Fault[] = library === undefined ? [] : [
  {
    name: 'wrong-coordinator-clock',
    does: 'a coordinator is restarted with a wall clock of its own, which jumps by hours, and later without it',
    target: 'coordinator',
    lastsMs: LASTS_MS,
    weight: 1,
    inject: (lab, strike, random) => jump(lab, lab.coordinators[strike.target]!, strike, COORDINATOR_SECONDS, random),
  },
  {
    name: 'wrong-worker-clock',
    does: 'the same with a worker',
    target: 'worker',
    lastsMs: LASTS_MS,
    weight: 1,
    inject: (lab, strike, random) => jump(lab, lab.workers[strike.target]!, strike, WORKER_SECONDS, random),
  },
];

/** It jumps twice while the process runs: wherever it was started, and halfway. */
async function jump(lab: Lab, wrong: KeptProcess, { lastsMs }: Strike, [least, most]: readonly [number, number], random: Random): Promise<void> {
  const clock: WallClock = await makeWallClock(library!);
  await clock.set(random.between(least, most));
  wrong.environment = clock.environment;
  wrong.kill('SIGTERM');
  await lab.hold(lastsMs / 2);
  await clock.set(random.between(least, most));
  await lab.hold(lastsMs / 2);
  wrong.environment = {};
  wrong.kill('SIGTERM');
}
