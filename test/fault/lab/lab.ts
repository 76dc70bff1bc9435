import type { TcpProxy } from '../../support/tcp_proxy.ts';
import type { KeptProcess } from './kept_process.ts';
import type { LabDatabase } from './database.ts';

/** What a fault may lay hands on. */
export interface Lab {
  readonly leaseTtlMs: number;
  /** Each is started again a moment after it has ended, whatever ended it, until the lab stops. */
  readonly coordinators: readonly KeptProcess[];
  readonly workers: readonly KeptProcess[];
  readonly database: LabDatabase;
  /** The network between workers and submitters and each coordinator, by the index of the coordinator. */
  readonly workerLinks: readonly TcpProxy[];
  /** The network between the database and each coordinator, by its index; the last one is that of the workers' own connections. */
  readonly databaseLinks: readonly TcpProxy[];
  /** Resolves after so long, or at once when the lab is ending. */
  hold(ms: number): Promise<void>;
}
