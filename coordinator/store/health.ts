import type { HotConnection, Statement } from './hot_connection.ts';

/** What PostgreSQL says of itself that may slow every queue down. */
export interface DatabaseFacts {
  /** The session whose snapshot keeps the most dead rows; undefined: none, or we are not allowed to see (pg_read_all_stats). */
  oldestSnapshot: { pid: number; ageMs: number; application: string; user: string; state: string } | undefined;
  /** The server's switch: autovacuum and the counting that it goes by. */
  autovacuum: boolean;
  /** The tables that live by vacuum. */
  tables: { name: string; deadRows: number; autovacuum: boolean }[];
}

const HEALTH: Statement = {
  name: 'health',
  text: `
  select json_build_object(
    'oldestSnapshot', (
      select json_build_object('pid', pid, 'ageMs', extract(epoch from clock_timestamp() - xact_start) * 1000,
                               'application', application_name, 'user', usename, 'state', state)
        from pg_catalog.pg_stat_activity
       where backend_xmin is not null and xact_start is not null and datname = current_database() and pid <> pg_backend_pid()
         and backend_type = 'client backend'
       order by age(backend_xmin) desc, xact_start limit 1),
    'autovacuum', current_setting('autovacuum')::boolean and current_setting('track_counts')::boolean,
    'tables', (
      select json_agg(json_build_object('name', s.relname, 'deadRows', s.n_dead_tup, 'autovacuum', coalesce(
               (select option_value::boolean from pg_catalog.pg_options_to_table(c.reloptions) where option_name = 'autovacuum_enabled'), true)))
        from pg_catalog.pg_stat_user_tables s join pg_catalog.pg_class c on c.oid = s.relid
       where s.schemaname = 'skiplease' and s.relname in ('ready', 'lease', 'scheduled')))`,
};

export async function databaseFacts(connection: HotConnection): Promise<DatabaseFacts> {
  const [row] = await connection.run(HEALTH, []);
  const { oldestSnapshot, ...facts } = JSON.parse(row![0]!) as Omit<DatabaseFacts, 'oldestSnapshot'> & { oldestSnapshot: DatabaseFacts['oldestSnapshot'] | null };
  return { ...facts, oldestSnapshot: oldestSnapshot ?? undefined };
}

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  Plans?: PlanNode[];
}

/** Tables of ours that the statement's plan on this connection reads from end to end; undefined: it has not been used here yet. */
export async function tablesReadWhole(connection: HotConnection, statement: Statement, parameters: number): Promise<string[] | undefined> {
  const nulls = Array.from({ length: parameters }, () => 'null').join(', ');
  return connection.transaction('plan', async (run) => {
    const prepared = await run(`select from pg_catalog.pg_prepared_statements where name = '${statement.name}'`);
    if (prepared.length === 0) {
      return undefined;
    }
    const [row] = await run(`explain (format json) execute ${statement.name} (${nulls})`);
    const [{ Plan: plan }] = JSON.parse(row![0]!) as [{ Plan: PlanNode }];
    return [...new Set(wholeReads(plan))].sort();
  });
}

function wholeReads(node: PlanNode): string[] {
  const here = node['Node Type'] === 'Seq Scan' && node['Relation Name'] !== 'clock' ? [node['Relation Name']!] : [];
  return [...here, ...(node.Plans ?? []).flatMap(wholeReads)];
}
