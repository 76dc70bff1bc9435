import type { Fault, Strike } from '../fault.ts';
import type { Lab } from '../lab/lab.ts';
import type { TcpProxy } from '../../support/tcp_proxy.ts';

/** Connections break at once, and no new ones are to be had for a while. */
const LASTS_MS = [0, 5_000] as const;

export const cutWorkerLink: Fault = {
  name: 'cut-worker-link',
  does: 'all connections to a coordinator break (RST), new ones are refused for a while',
  target: 'worker link',
  lastsMs: LASTS_MS,
  weight: 3,
  inject: (lab, strike) => cut(lab, lab.workerLinks[strike.target]!, strike),
};

export const cutDatabaseLink: Fault = {
  name: 'cut-database-link',
  does: 'the same between a coordinator, or the workers, and the database',
  target: 'database link',
  lastsMs: LASTS_MS,
  weight: 3,
  inject: (lab, strike) => cut(lab, lab.databaseLinks[strike.target]!, strike),
};

async function cut(lab: Lab, link: TcpProxy, { lastsMs }: Strike): Promise<void> {
  link.refuse(lastsMs > 0);
  link.cut();
  await lab.hold(lastsMs);
  link.refuse(false);
}
