import type { Fault } from '../fault.ts';

/** SIGKILL. It is started again at once. */
export const killCoordinator: Fault = {
  name: 'kill-coordinator',
  does: 'SIGKILL of a coordinator',
  target: 'coordinator',
  lastsMs: [0, 0],
  weight: 3,
  inject: async ({ coordinators }, { target }) => void coordinators[target]!.kill('SIGKILL'),
};

export const killWorker: Fault = {
  name: 'kill-worker',
  does: 'SIGKILL of a worker',
  target: 'worker',
  lastsMs: [0, 0],
  weight: 3,
  inject: async ({ workers }, { target }) => void workers[target]!.kill('SIGKILL'),
};
