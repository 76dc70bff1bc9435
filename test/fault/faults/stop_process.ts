import type { Fault } from '../fault.ts';

/** SIGTERM: it drains, ends, and is started again. */
export const stopCoordinator: Fault = {
  name: 'stop-coordinator',
  does: 'SIGTERM of a coordinator, which sends its workers away and ends',
  target: 'coordinator',
  lastsMs: [0, 0],
  weight: 3,
  inject: async ({ coordinators }, { target }) => void coordinators[target]!.kill('SIGTERM'),
};

export const stopWorker: Fault = {
  name: 'stop-worker',
  does: 'SIGTERM of a worker, which hands back what it has not begun and ends',
  target: 'worker',
  lastsMs: [0, 0],
  weight: 2,
  inject: async ({ workers }, { target }) => void workers[target]!.kill('SIGTERM'),
};
