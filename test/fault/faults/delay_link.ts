import type { Fault, Strike } from '../fault.ts';
import type { Lab } from '../lab/lab.ts';
import type { Random } from '../random.ts';
import type { TcpProxy } from '../../support/tcp_proxy.ts';

const LASTS_MS = [2_000, 9_000] as const;

export const delayWorkerLink: Fault = {
  name: 'delay-worker-link',
  does: 'every byte between workers and a coordinator is late, by up to a time to live',
  target: 'worker link',
  lastsMs: LASTS_MS,
  weight: 2,
  inject: (lab, strike, random) => late(lab, lab.workerLinks[strike.target]!, strike, random.between(50, lab.leaseTtlMs)),
};

export const delayDatabaseLink: Fault = {
  name: 'delay-database-link',
  does: 'every byte between a coordinator, or the workers, and the database is late, by up to 300 ms',
  target: 'database link',
  lastsMs: LASTS_MS,
  weight: 2,
  inject: (lab, strike, random) => late(lab, lab.databaseLinks[strike.target]!, strike, delayOf(random)),
};

function delayOf(random: Random): number {
  return random.between(5, 300);
}

async function late(lab: Lab, link: TcpProxy, { lastsMs }: Strike, delayMs: number): Promise<void> {
  link.delay(delayMs);
  await lab.hold(lastsMs);
  link.delay(0);
}
