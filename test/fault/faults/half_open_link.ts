import type { Fault, Strike } from '../fault.ts';
import type { Lab } from '../lab/lab.ts';
import type { Random } from '../random.ts';
import type { Direction, TcpProxy } from '../../support/tcp_proxy.ts';

/** Shorter than a time to live, and longer. */
const LASTS_MS = [500, 9_000] as const;
const DIRECTIONS: readonly Direction[] = ['both', 'to server', 'to client'];

export const halfOpenWorkerLink: Fault = {
  name: 'half-open-worker-link',
  does: 'connections to a coordinator stay, and swallow what is sent in one direction or in both',
  target: 'worker link',
  lastsMs: LASTS_MS,
  weight: 3,
  inject: (lab, strike, random) => swallow(lab, lab.workerLinks[strike.target]!, strike, random),
};

export const halfOpenDatabaseLink: Fault = {
  name: 'half-open-database-link',
  does: 'the same between a coordinator, or the workers, and the database',
  target: 'database link',
  lastsMs: LASTS_MS,
  weight: 3,
  inject: (lab, strike, random) => swallow(lab, lab.databaseLinks[strike.target]!, strike, random),
};

/** TCP cannot go on after a gap, so the connections break once the network is back. */
async function swallow(lab: Lab, link: TcpProxy, { lastsMs }: Strike, random: Random): Promise<void> {
  link.freeze(true, random.pick(DIRECTIONS));
  await lab.hold(lastsMs);
  link.freeze(false);
  link.cut();
}
