import type { DatabaseFacts } from '../store/health.ts';
import { ConditionKind } from '../types.ts';

/** A transaction that is open for so long is worth a word: at once when it pins many dead rows, in any case after a while. */
const SNAPSHOT_MS = 60_000;
const SNAPSHOT_MS_ANYHOW = 600_000;
const PINNED_ROWS = 50_000;
/** Dead rows at which autovacuum has fallen behind: ten times those at which it begins. */
const DEAD_ROWS: Readonly<Record<string, number>> = { ready: 200_000, lease: 20_000, scheduled: 500_000 };
/** A commit is a write to the log and its confirmation by the disk: below a millisecond on most, twenty on the slowest. */
const SLOW_COMMIT_MS = 250;

/** What the coordinator has seen, of the database and by its own heartbeats. */
export interface Sightings {
  facts: DatabaseFacts;
  /** Tables that the claim's plan reads from end to end. */
  tablesReadWhole: string[];
  /** How long a heartbeat, a small write with its commit, takes as a rule: milliseconds. */
  beatMs: number;
}

/** Conditions of the database, each with what to do about it. */
export function diagnose({ facts, tablesReadWhole, beatMs }: Sightings): Map<ConditionKind, string> {
  const found = new Map<ConditionKind, string>();
  const { oldestSnapshot: snapshot, tables } = facts;
  const dead = tables.reduce((sum, { deadRows }) => sum + deadRows, 0);
  if (snapshot !== undefined && (snapshot.ageMs >= SNAPSHOT_MS_ANYHOW || (snapshot.ageMs >= SNAPSHOT_MS && dead >= PINNED_ROWS))) {
    found.set(ConditionKind.OLD_SNAPSHOT,
      `A transaction has been open for ${seconds(snapshot.ageMs)} (pid ${snapshot.pid}, user ${snapshot.user}, application `
      + `"${snapshot.application}", ${snapshot.state}) and keeps ${count(dead)} dead rows from being cleaned away. End it, or `
      + `select pg_terminate_backend(${snapshot.pid}).`);
  }
  const off = tables.filter(({ autovacuum }) => !autovacuum).map(({ name }) => `skiplease.${name}`);
  if (!facts.autovacuum) {
    found.set(ConditionKind.VACUUM_OFF, 'autovacuum (or track_counts, which it needs) is off for the whole server. Switch it on in postgresql.conf.');
  } else if (off.length > 0) {
    found.set(ConditionKind.VACUUM_OFF, `autovacuum is off for ${off.join(', ')}. alter table … reset (autovacuum_enabled) switches it on.`);
  }
  const behind = tables.filter(({ name, deadRows }) => deadRows >= (DEAD_ROWS[name] ?? Infinity));
  if (behind.length > 0 && !found.has(ConditionKind.OLD_SNAPSHOT) && !found.has(ConditionKind.VACUUM_OFF)) {
    found.set(ConditionKind.VACUUM_BEHIND,
      `Dead rows gather faster than autovacuum cleans: ${behind.map(({ name, deadRows }) => `${count(deadRows)} in skiplease.${name}`).join(', ')}. `
      + 'Look for long transactions, prepared transactions and replication slots that hold them, then for autovacuum_max_workers and autovacuum_vacuum_cost_limit.');
  }
  if (tablesReadWhole.length > 0) {
    found.set(ConditionKind.WRONG_PLAN,
      `The claim's plan reads ${tablesReadWhole.map((name) => `skiplease.${name}`).join(', ')} from end to end: an index is missing or invalid. `
      + 'Compare pg_indexes with the migrations; reindex what is invalid.');
  }
  if (beatMs >= SLOW_COMMIT_MS) {
    found.set(ConditionKind.SLOW_COMMITS,
      `A small write takes ${Math.round(beatMs)} ms until it is committed. Look at the disk of pg_wal, at synchronous standbys, and at what else loads the server.`);
  }
  return found;
}

function seconds(ms: number): string {
  return ms < 600_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} minutes`;
}

function count(rows: number): string {
  return rows.toLocaleString('en');
}
