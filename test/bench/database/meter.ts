import type pg from 'pg';
import { processTreeCpuMs, parentOf } from '../measure/processes.ts';
import { readStatements, statementsBetween, type StatementCount } from './statement_log.ts';
import { walBetween, walPosition, type WalUse } from './write_ahead_log.ts';

/** What one stretch of work cost the database. */
export interface DatabaseUse {
  statements: StatementCount[];
  wal: WalUse;
  /** CPU time of all of PostgreSQL's processes; `undefined` where it cannot be read (another machine, no /proc). */
  cpuMs: number | undefined;
}

/** Reads the database's counters now. The function that it gives back reads them again, and answers the difference. */
export async function startMeter(admin: pg.Client, databaseName: string): Promise<() => Promise<DatabaseUse>> {
  const postmaster = await postmasterPid(admin);
  const statements = await readStatements(admin, databaseName);
  const position = await walPosition(admin);
  const cpuMs = postmaster && processTreeCpuMs(postmaster);
  return async () => {
    const cpuAfterMs = postmaster && processTreeCpuMs(postmaster);
    const positionAfter = await walPosition(admin);
    return {
      statements: statementsBetween(statements, await readStatements(admin, databaseName)),
      wal: await walBetween(admin, position, positionAfter),
      cpuMs: cpuMs === undefined || cpuAfterMs === undefined ? undefined : cpuAfterMs - cpuMs,
    };
  };
}

/** The server's own process, when it runs on this machine. */
export async function postmasterPid(admin: pg.Client): Promise<number | undefined> {
  const { rows } = await admin.query<{ pid: number; local: boolean }>(
    `SELECT pg_backend_pid() AS pid, inet_server_addr() <<= '127.0.0.0/8' AS local`,
  );
  return rows[0]!.local ? parentOf(rows[0]!.pid) : undefined;
}
