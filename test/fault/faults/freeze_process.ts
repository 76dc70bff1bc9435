import type { Fault } from '../fault.ts';
import type { KeptProcess } from '../lab/kept_process.ts';
import type { Lab } from '../lab/lab.ts';

/** Shorter than a time to live, and much longer: what thaws is a holder, or a coordinator, whose work was given to others. */
const LASTS_MS = [500, 9_000] as const;

export const freezeCoordinator: Fault = {
  name: 'freeze-coordinator',
  does: 'SIGSTOP of a coordinator, and SIGCONT a while later, often past its row\'s time to live',
  target: 'coordinator',
  lastsMs: LASTS_MS,
  weight: 3,
  inject: (lab, { target, lastsMs }) => freeze(lab, lab.coordinators[target]!, lastsMs),
};

export const freezeWorker: Fault = {
  name: 'freeze-worker',
  does: 'SIGSTOP of a worker, and SIGCONT a while later, often past the time to live of its leases',
  target: 'worker',
  lastsMs: LASTS_MS,
  weight: 4,
  inject: (lab, { target, lastsMs }) => freeze(lab, lab.workers[target]!, lastsMs),
};

async function freeze(lab: Lab, frozen: KeptProcess, lastsMs: number): Promise<void> {
  if (!frozen.kill('SIGSTOP')) return;
  await lab.hold(lastsMs);
  frozen.kill('SIGCONT');
}
