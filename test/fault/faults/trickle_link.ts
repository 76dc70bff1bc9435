import type { Fault, Strike } from '../fault.ts';
import type { Lab } from '../lab/lab.ts';
import type { TcpProxy } from '../../support/tcp_proxy.ts';

const LASTS_MS = [2_000, 9_000] as const;

export const trickleWorkerLink: Fault = {
  name: 'trickle-worker-link',
  does: 'a few kilobytes a second pass between workers and a coordinator',
  target: 'worker link',
  lastsMs: LASTS_MS,
  weight: 2,
  inject: (lab, strike, random) => trickle(lab, lab.workerLinks[strike.target]!, strike, random.between(500, 20_000)),
};

export const trickleDatabaseLink: Fault = {
  name: 'trickle-database-link',
  does: 'the same between a coordinator, or the workers, and the database',
  target: 'database link',
  lastsMs: LASTS_MS,
  weight: 2,
  inject: (lab, strike, random) => trickle(lab, lab.databaseLinks[strike.target]!, strike, random.between(2_000, 50_000)),
};

async function trickle(lab: Lab, link: TcpProxy, { lastsMs }: Strike, bytesPerSecond: number): Promise<void> {
  link.trickle(bytesPerSecond);
  await lab.hold(lastsMs);
  link.trickle(Infinity);
}
