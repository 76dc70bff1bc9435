import test from 'ava';
import { planTicks } from '../../coordinator/engine/plan_ticks.ts';
import type { TickRules } from '../../coordinator/engine/plan_ticks.ts';
import { MissedTicks, Overlap } from '../../coordinator/types.ts';

const DAY = '2026-06-01';
const at = (time: string) => Date.parse(`${DAY}T${time}Z`);
const rules = (fields: Partial<TickRules>): TickRules => ({
  cron: '* * * * *', timeZone: '', missedTicks: MissedTicks.RUN_LATEST, overlap: Overlap.ALLOW, nextAtMs: at('12:00:00'), ...fields,
});
/** The plan at 12:00:00 plus so many seconds, with times as text. */
function plan(fields: Partial<TickRules>, now: string, options: { open?: boolean; runsMax?: number } = {}) {
  const planned = planTicks(rules(fields), at(now), options.open ?? false, options.runsMax ?? 1_000);
  const text = (ms: number) => new Date(ms).toISOString().slice(11, 19);
  return planned === 'replace' ? planned : [planned.runMs.map(text).join(' '), planned.skipped, planned.nextAtMs && text(planned.nextAtMs)];
}
const { RUN_LATEST, RUN_ALL, SKIP } = MissedTicks;

test('a tick in time runs, whatever the policy', (t) => {
  for (const missedTicks of [RUN_LATEST, RUN_ALL, SKIP]) {
    for (const overlap of Object.values(Overlap)) {
      t.deepEqual(plan({ missedTicks, overlap }, '12:00:00'), ['12:00:00', 0, '12:01:00']);
      t.deepEqual(plan({ missedTicks, overlap }, '12:00:59'), ['12:00:00', 0, '12:01:00']);
    }
  }
});

test('a look that comes seconds late misses none of the ticks of the last minute', (t) => {
  const cron = '*/20 * * * * *';
  t.deepEqual(plan({ cron }, '12:00:41'), ['12:00:00 12:00:20 12:00:40', 0, '12:01:00']);
  t.deepEqual(plan({ cron, missedTicks: SKIP }, '12:00:41'), ['12:00:00 12:00:20 12:00:40', 0, '12:01:00']);
});

test('of missed ticks the latest runs, or all, or none', (t) => {
  const cron = '*/10 * * * *';
  t.deepEqual(plan({ cron }, '12:35:00'), ['12:30:00', 3, '12:40:00']);
  t.deepEqual(plan({ cron, missedTicks: RUN_ALL }, '12:35:00'), ['12:00:00 12:10:00 12:20:00 12:30:00', 0, '12:40:00']);
  t.deepEqual(plan({ cron, missedTicks: SKIP }, '12:35:00'), ['', 4, '12:40:00']);
});

test('a tick that is not missed takes the place of those that are', (t) => {
  t.deepEqual(plan({}, '12:05:30'), ['12:05:00', 5, '12:06:00']);
  t.deepEqual(plan({ missedTicks: SKIP }, '12:05:30'), ['12:05:00', 5, '12:06:00']);
  t.deepEqual(plan({ missedTicks: SKIP }, '12:01:00'), ['12:01:00', 1, '12:02:00'], 'a minute past is missed');
});

test('while the earlier job is open a tick is passed over, or waits for its cancellation', (t) => {
  t.deepEqual(plan({ overlap: Overlap.ALLOW }, '12:00:01', { open: true }), ['12:00:00', 0, '12:01:00']);
  t.deepEqual(plan({ overlap: Overlap.SKIP }, '12:00:01', { open: true }), ['', 1, '12:01:00']);
  t.is(plan({ overlap: Overlap.REPLACE }, '12:00:01', { open: true }), 'replace');
  t.deepEqual(plan({ overlap: Overlap.REPLACE, missedTicks: SKIP, cron: '0 * * * *' }, '12:30:00', { open: true }), ['', 1, '13:00:00'],
    'nothing is cancelled for a tick that does not run');
});

test('of several ticks at once only one may run without overlap', (t) => {
  const late = { cron: '*/10 * * * *', missedTicks: RUN_ALL };
  t.deepEqual(plan({ ...late, overlap: Overlap.SKIP }, '12:35:00'), ['12:00:00', 3, '12:40:00'], 'the others came while it was open');
  t.deepEqual(plan({ ...late, overlap: Overlap.REPLACE }, '12:35:00'), ['12:30:00', 3, '12:40:00'], 'each would have replaced the one before');
});

test('what does not fit is left for the next look, which goes on where this one stopped', (t) => {
  const late = { cron: '*/10 * * * *', missedTicks: RUN_ALL };
  t.deepEqual(plan(late, '12:35:00', { runsMax: 3 }), ['12:00:00 12:10:00 12:20:00', 0, '12:30:00']);
  t.deepEqual(plan({ ...late, nextAtMs: at('12:30:00') }, '12:35:00', { runsMax: 3 }), ['12:30:00', 0, '12:40:00']);
});

test('after a long absence the latest thousand ticks are looked at', (t) => {
  const nextAtMs = at('00:00:00') - 30 * 86_400_000;
  const all = planTicks(rules({ nextAtMs, missedTicks: RUN_ALL }), at('12:00:30'), false, 5_000);
  t.true(all !== 'replace' && all.runMs.length === 1_000 && all.runMs.at(-1) === at('12:00:00') && all.nextAtMs === at('12:01:00'));
  t.deepEqual(plan({ nextAtMs }, '12:00:30'), ['12:00:00', 999, '12:01:00']);
});

test('a line may have no next tick', (t) => {
  t.deepEqual(plan({ cron: '0 0 30 2 *' }, '12:00:30'), ['', 0, null]);
});
