import test from 'ava';
import { diagnose, type Sightings } from '../../coordinator/engine/diagnose.ts';
import { ConditionKind } from '../../coordinator/types.ts';

const tables = (ready = 0, lease = 0, autovacuum = true) => [
  { name: 'ready', deadRows: ready, autovacuum }, { name: 'lease', deadRows: lease, autovacuum: true }, { name: 'scheduled', deadRows: 0, autovacuum: true },
];
const snapshot = (ageMs: number) => ({ pid: 4711, ageMs, application: 'psql', user: 'anna', state: 'idle in transaction' });
const well: Sightings = { facts: { oldestSnapshot: undefined, autovacuum: true, tables: tables() }, tablesReadWhole: [], beatMs: 2 };
const kinds = (seen: Partial<Sightings['facts']>, rest: Partial<Sightings> = {}) => [...diagnose({ ...well, ...rest, facts: { ...well.facts, ...seen } }).keys()];

test('a database that is well has no condition', (t) => {
  t.deepEqual(kinds({}), []);
  t.deepEqual(kinds({ oldestSnapshot: snapshot(59_000), tables: tables(199_999, 19_999) }, { beatMs: 249 }), []);
});

test('a snapshot counts when it is old and pins many rows, or is very old', (t) => {
  t.deepEqual(kinds({ oldestSnapshot: snapshot(60_000), tables: tables(50_000) }), [ConditionKind.OLD_SNAPSHOT]);
  t.deepEqual(kinds({ oldestSnapshot: snapshot(60_000), tables: tables(49_999) }), []);
  t.deepEqual(kinds({ oldestSnapshot: snapshot(600_000) }), [ConditionKind.OLD_SNAPSHOT]);
  const message = diagnose({ ...well, facts: { ...well.facts, oldestSnapshot: snapshot(3_600_000), tables: tables(1_234_567) } }).get(ConditionKind.OLD_SNAPSHOT)!;
  t.regex(message, /60 minutes \(pid 4711, user anna, application "psql", idle in transaction\) and keeps 1,234,567 dead rows/);
  t.regex(message, /pg_terminate_backend\(4711\)/);
});

test('a vacuum that is off is named before one that is behind', (t) => {
  t.deepEqual(kinds({ autovacuum: false, tables: tables(900_000) }), [ConditionKind.VACUUM_OFF]);
  t.deepEqual(kinds({ tables: tables(900_000, 0, false) }), [ConditionKind.VACUUM_OFF]);
  t.regex(diagnose({ ...well, facts: { ...well.facts, tables: tables(0, 0, false) } }).get(ConditionKind.VACUUM_OFF)!, /skiplease\.ready/);
  t.deepEqual(kinds({ tables: tables(200_000) }), [ConditionKind.VACUUM_BEHIND]);
  t.deepEqual(kinds({ tables: tables(0, 20_000) }), [ConditionKind.VACUUM_BEHIND]);
  t.deepEqual(kinds({ oldestSnapshot: snapshot(600_000), tables: tables(900_000) }), [ConditionKind.OLD_SNAPSHOT], 'the snapshot is the cause');
});

test('a plan that reads a table whole, and commits that take long', (t) => {
  t.deepEqual(kinds({}, { tablesReadWhole: ['ready'] }), [ConditionKind.WRONG_PLAN]);
  t.deepEqual(kinds({}, { beatMs: 250 }), [ConditionKind.SLOW_COMMITS]);
});
