import type { Lab } from './lab/lab.ts';
import type { Random } from './random.ts';

/**
 * What a strike takes for itself while it lasts, and some time after: two strikes never share a target. `everything` is for
 * faults that have to do with all coordinators or with the database as a whole; nothing else strikes meanwhile.
 */
export type TargetKind = 'coordinator' | 'worker' | 'database' | 'worker link' | 'database link' | 'everything';

/** One kind of trouble. One small file each in faults/, and a line in faults/index.ts. */
export interface Fault {
  /** As `--faults` names it: lower case, words joined by hyphens. */
  name: string;
  /** What it does, for people. */
  does: string;
  target: TargetKind;
  /** How long a strike lasts, in milliseconds: drawn evenly between these. */
  lastsMs: readonly [number, number];
  /** How often it strikes beside the others. The first strikes of a schedule are one of each, whatever it weighs. */
  weight: number;
  /**
   * Makes the trouble, lets it last for `strike.lastsMs` (lab.hold), undoes it, and resolves. It must leave nothing behind
   * also when the lab ends early (hold then resolves at once). What it rejects with ends the run: it is a bug of the fault.
   */
  inject(lab: Lab, strike: Strike, random: Random): Promise<void>;
}

/** One line of the schedule, which is a pure function of the seed. */
export interface Strike {
  /** From 1. */
  number: number;
  fault: string;
  /** From the beginning of the faults, in milliseconds. */
  atMs: number;
  lastsMs: number;
  /** Which of the lab's coordinators, workers or links; 0 for what there is one of. */
  target: number;
  /** For what else the fault draws by chance. */
  seed: number;
}
