import type { Fault } from '../fault.ts';

export const slowReader: Fault = {
  name: 'slow-reader',
  does: 'workers and submitters read next to nothing of what a coordinator writes, and go on writing',
  target: 'worker link',
  lastsMs: [2_000, 9_000],
  weight: 2,
  inject: async (lab, { target, lastsMs }, random) => {
    const link = lab.workerLinks[target]!;
    link.trickle(random.between(50, 500), 'to client');
    await lab.hold(lastsMs);
    link.trickle(Infinity);
  },
};
