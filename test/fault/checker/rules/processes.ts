import { eventsOf } from '../facts.ts';
import type { Rule } from '../violation.ts';

const KILLED = 137;
const TERMINATED = 143;

export const processes: Rule = {
  name: 'processes live',
  holds: 'no process ends but by a signal, or by a handler that kills it on purpose; SIGTERM is followed by a clean end',
  *check({ told }) {
    const crashed = new Set(eventsOf(told, 'crash').map(({ by }) => by));
    for (const { process, incarnation, code, signalled } of eventsOf(told, 'ended')) {
      const killed = signalled.includes('SIGKILL') || crashed.has(`${process}.${incarnation}`);
      // One that is terminated before it listens for signals ends by the signal itself.
      const stopped = signalled.includes('SIGTERM') && (code === 0 || code === TERMINATED);
      if (stopped || (killed && code === KILLED)) continue;
      yield { jobId: undefined, what: `${process} (incarnation ${incarnation}) ended with code ${code} after ${signalled.join(', ') || 'no signal'}: see its log` };
    }
  },
};
