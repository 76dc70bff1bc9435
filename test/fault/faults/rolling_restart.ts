import { waitFor } from '../../support/wait.ts';
import type { Fault } from '../fault.ts';

/** A drain and a start, on a busy machine. One that takes longer is not waited for. */
const UP_DEADLINE_MS = 60_000;

export const rollingRestart: Fault = {
  name: 'rolling-restart',
  does: 'SIGTERM of every coordinator in turn, each once the one before it is back',
  target: 'everything',
  // As long as it takes: about so long.
  lastsMs: [8_000, 12_000],
  weight: 1,
  inject: async ({ coordinators }) => {
    for (const coordinator of coordinators) {
      const { incarnation } = coordinator;
      if (!coordinator.kill('SIGTERM')) continue;
      const isBack = () => coordinator.incarnation > incarnation && coordinator.pid !== undefined;
      await waitFor(isBack, { deadlineMs: UP_DEADLINE_MS, what: `${coordinator.name} to be back` }).catch(() => undefined);
    }
  },
};
