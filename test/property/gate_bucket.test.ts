/** The bucket of a key's rate: what take_tokens() leaves of it in one go is what one start after the other leaves, and never more than is due. */
import test from 'ava';
import fc from 'fast-check';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { StoreWorld } from '../support/store_world.ts';

let world: StoreWorld;
test.before(async () => {
  world = await StoreWorld.open();
});
test.after.always(() => world?.close());

const BEGAN = Date.parse('2026-01-01T00:00:00Z');
const at = (ms: number) => new Date(BEGAN + ms).toISOString();
const rates = fc.record({ starts: fc.integer({ min: 1, max: 50 }), periodMs: fc.integer({ min: 1, max: 500 }), burst: fc.integer({ min: 1, max: 20 }) });
type Rate = typeof rates extends fc.Arbitrary<infer Value> ? Value : never;

/** One start after the other: fills up to the burst, gives a token. */
function inTurn({ starts, periodMs, burst }: Rate, startsAtMs: number[], nowMs: number): number {
  let tokens = burst;
  let sinceMs = 0;
  const fill = (ms: number) => {
    tokens = Math.min(burst, tokens + ((ms - sinceMs) * starts) / periodMs);
    sinceMs = ms;
  };
  for (const ms of startsAtMs.toSorted((a, b) => a - b)) {
    fill(ms);
    tokens -= 1;
  }
  fill(nowMs);
  return tokens;
}

test('taken in several goes, in whatever order the starts are committed', async (t) => {
  const queueId = await world.queue();
  const [gate] = await world.rows<{ id: string }>('insert into skiplease.gate (queue_id, kind, key) values ($1, 3, $2) returning id', [queueId, 'k']);
  const gateId = gate!.id;
  const start = fc.record({ ms: fc.nat(2_000), go: fc.nat(3) });
  await fc.assert(fc.asyncProperty(rates, fc.array(start, { maxLength: 20 }), fc.boolean(), async (rate, starts, late) => {
    await world.rows('update skiplease.queue set key_limit = $2 where id = $1', [queueId, { runningMax: null, rate }]);
    await world.rows('update skiplease.gate set tokens = null, tokens_at = null where id = $1', [gateId]);
    const nowMs = 4_000;
    // In each go the gate is locked after all of its starts; where some are committed late, it was locked after later ones before.
    const goOf = ({ ms, go }: { ms: number; go: number }) => (late ? go : Math.floor(ms / 500));
    for (let go = 0; go <= 4; go += 1) {
      const ofGo = starts.filter((each) => goOf(each) === go);
      await world.rows(`insert into skiplease.gate_holder (job_id, kind, gate_id, "position", owes, started_at)
        select gen_random_uuid(), 3, $1, 0, true, moment from unnest($2::timestamptz[]) as moment`, [gateId, ofGo.map(({ ms }) => at(ms))]);
      await world.rows('select skiplease.take_tokens(array[$1]::bigint[], $2)', [gateId, at(late ? 2_000 + go : (go + 1) * 500)]);
    }
    t.is(await world.count('gate_holder', 'owes'), 0);
    await world.rows('truncate skiplease.gate_holder');
    const left = await world.value<number>(
      'select skiplease.bucket(tokens, tokens_at, $2, $3, $4, $5) from skiplease.gate where id = $1', [gateId, at(nowMs), rate.starts, rate.periodMs, rate.burst]);
    const due = inTurn(rate, starts.map(({ ms }) => ms), nowMs);
    t.true(late ? left <= due + 1e-6 : Math.abs(left - due) < 1e-6, `${left} are left, ${due} are due`);
  }), { plugins: [fc.interruptAfterTimeLimit(PROPERTY_MS / 2)], numRuns: 500 });
});
