import type pg from 'pg';
import { CONTESTANT_ROLE } from './server.ts';

/** One kind of statement (constants taken out by PostgreSQL) and how often it ran. */
export interface StatementCount {
  query: string;
  calls: number;
  /** Time that PostgreSQL spent in it, waits included, in milliseconds. */
  totalMs: number;
}

/**
 * Statements that the contestants' role has run in a database so far, by their text, from pg_stat_statements (counted
 * in shared memory as each one ends, so without delay). Utility statements such as BEGIN and COMMIT are among them.
 */
export async function readStatements(client: pg.Client, databaseName: string): Promise<Map<string, StatementCount>> {
  const { rows } = await client.query<{ queryid: string; query: string; calls: number; totalMs: number }>(
    String.raw`SELECT queryid::text, query, sum(calls)::float8 AS calls, sum(total_exec_time) AS "totalMs"
       FROM pg_stat_statements
      WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1)
        AND userid = (SELECT oid FROM pg_roles WHERE rolname = $2)
        AND toplevel
        -- PostgreSQL's own checks of foreign keys are listed like statements, though no client sent them.
        AND query !~ '^SELECT \$\d+ FROM ONLY .* FOR KEY SHARE OF x$'
      GROUP BY queryid, query`,
    [databaseName, CONTESTANT_ROLE],
  );
  return new Map(rows.map(({ queryid, ...statement }) => [`${queryid} ${statement.query}`, statement]));
}

/** What ran between two readings, the most frequent first. */
export function statementsBetween(
  before: Map<string, StatementCount>,
  after: Map<string, StatementCount>,
): StatementCount[] {
  return [...after]
    .map(([key, { query, calls, totalMs }]) => {
      const earlier = before.get(key);
      return { query, calls: calls - (earlier?.calls ?? 0), totalMs: totalMs - (earlier?.totalMs ?? 0) };
    })
    .filter(({ calls }) => calls > 0)
    .sort((left, right) => right.calls - left.calls);
}

/** All calls together. */
export function totalCalls(statements: StatementCount[]): number {
  return statements.reduce((sum, { calls }) => sum + calls, 0);
}
