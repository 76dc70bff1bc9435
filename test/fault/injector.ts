import { setTimeout as delay } from 'node:timers/promises';
import type { Fault, Strike } from './fault.ts';
import type { RunningLab } from './lab/bring_up.ts';
import { Random } from './random.ts';

/** The line of strikes that leave nothing to others. */
const EVERYTHING = 'everything 0';

/**
 * Carries out a schedule. A strike that comes while the one before it still has its target (a machine that is busier than the schedule
 * thought) waits for that one. Rejects with the first error of a fault: then all others are ended too.
 */
export async function inject(lab: RunningLab, faults: readonly Fault[], schedule: readonly Strike[]): Promise<void> {
  const startedMs = performance.now();
  const byName = new Map(faults.map((fault) => [fault.name, fault]));
  const lines = new Map<string, Promise<void>>();
  let failed: Error | undefined;
  for (const strike of schedule) {
    await delay(Math.max(0, startedMs + strike.atMs - performance.now()));
    if (failed !== undefined) break;
    const fault = byName.get(strike.fault)!;
    const own = `${fault.target} ${strike.target}`;
    const before = [...lines].filter(([line]) => fault.target === 'everything' || line === own || line === EVERYTHING).map(([, end]) => end);
    const struck = Promise.all(before).then(() => one(lab, fault, strike)).catch((error: Error) => {
      failed ??= new Error(`The fault ${strike.fault} (strike ${strike.number}) went wrong: ${error.message}`, { cause: error });
      lab.endHolds();
    });
    lines.set(own, struck);
  }
  await Promise.all(lines.values());
  if (failed !== undefined) throw failed;
}

async function one(lab: RunningLab, fault: Fault, strike: Strike): Promise<void> {
  if (takesTheLast(lab, fault)) {
    lab.history.write({ event: 'passed over', number: strike.number });
    return;
  }
  lab.history.write({ event: 'strike', strike });
  await fault.inject(lab, strike, new Random(strike.seed));
  lab.history.write({ event: 'strike over', number: strike.number });
}

/** With nobody left to work there is nothing to go wrong: on a slow machine starts take long. */
function takesTheLast({ coordinators, workers }: RunningLab, { target }: Fault): boolean {
  const fleet = target === 'coordinator' ? coordinators : target === 'worker' ? workers : undefined;
  return fleet !== undefined && fleet.filter(({ pid }) => pid !== undefined).length < 2;
}
