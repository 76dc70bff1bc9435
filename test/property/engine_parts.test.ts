/** The small parts of the engine, against what they stand for. */
import test from 'ava';
import fc from 'fast-check';
import { Bits } from '../../coordinator/bits.ts';
import { backoffMs } from '../../coordinator/engine/backoff.ts';
import { Batcher } from '../../coordinator/engine/batcher.ts';
import { formatToken, newSecret, parseToken } from '../../coordinator/engine/token.ts';

const RUNS = { numRuns: 2_000 };

test('a backoff is positive, grows by its factor up to its maximum, and stays within its jitter', (t) => {
  const policy = fc.record({
    maxAttempts: fc.integer({ min: 1, max: 1_000 }), initialMs: fc.double({ min: 0, max: 1e9, noNaN: true }), factor: fc.double({ min: 1, max: 100, noNaN: true }),
    maxMs: fc.double({ min: 0, max: 1e12, noNaN: true }), jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(fc.property(policy, fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (settings, attempt, random) => {
    const ms = backoffMs(settings, attempt, random);
    const plain = settings.initialMs === 0 ? 0 : Math.min(settings.initialMs * settings.factor ** (attempt - 1), settings.maxMs);
    return Number.isSafeInteger(ms) && ms >= 0 && ms >= Math.floor(plain * (1 - settings.jitter)) - 1 && ms <= Math.ceil(plain * (1 + settings.jitter)) + 1
      && backoffMs({ ...settings, jitter: 0 }, attempt, random) <= backoffMs({ ...settings, jitter: 0 }, attempt + 1, random);
  }), RUNS);
  t.pass();
});

test('a token is read as it was written, and nothing else is a token', (t) => {
  const token = fc.record({ leaseId: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), secret: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) });
  fc.assert(fc.property(token, (value) => {
    const parsed = parseToken(formatToken(value));
    return parsed?.leaseId === value.leaseId && parsed.secret === value.secret;
  }), RUNS);
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
    const parsed = parseToken(text);
    return parsed === undefined || formatToken(parsed) === text;
  }), RUNS);
  for (const text of ['', '1', '0.0000000000000000', '01.0000000000000000', '1.000000000000000', '1.000000000000000G', '1.ABCDEF0123456789', '9223372036854775808.0000000000000000', '1.0000000000000000\n']) {
    t.is(parseToken(text), undefined, text);
  }
  t.is(new Set(Array.from({ length: 2_000 }, newSecret)).size, 2_000);
});

test('bits are a row of flags that are set once', (t) => {
  const moves = fc.array(fc.tuple(fc.nat(99), fc.boolean()), { maxLength: 200 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), moves, (length, list) => {
    const bits = new Bits(length);
    const model = Array.from({ length }, () => false);
    for (const [at, set] of list.filter(([index]) => index < length)) {
      if (set && bits.set(at) === model[at]) return false;
      if (!set) bits.clear(at);
      model[at] = set;
    }
    const text = model.map((on) => (on ? '1' : '0')).join('');
    const copy = bits.copy();
    copy.set(0);
    return bits.toString() === text && Bits.parse(text).toString() === text && bits.count === model.filter(Boolean).length
      && bits.full === model.every(Boolean) && model.every((on, at) => bits.has(at) === on) && Bits.parse(text).count === bits.count;
  }), RUNS);
  t.pass();
});

test('a batcher flushes everything once, in order, one flush at a time, none of them too heavy', async (t) => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.array(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 12 }), { maxLength: 8 }), async (weightMax, turns) => {
    const flushes: number[][] = [];
    let running = 0;
    let most = 0;
    const batcher = new Batcher<number>(async (items) => {
      running += 1;
      most = Math.max(most, running);
      flushes.push(items);
      await new Promise(setImmediate);
      running -= 1;
    }, weightMax, (item) => item);
    for (const turn of turns) {
      turn.forEach((item) => batcher.add(item));
      await new Promise(setImmediate);
    }
    await batcher.idle();
    const sum = (items: number[]) => items.reduce((total, item) => total + item, 0);
    t.deepEqual(flushes.flat(), turns.flat());
    t.true(most <= 1);
    t.true(flushes.every((items) => items.length === 1 || sum(items) <= weightMax));
  }), { numRuns: 200 });
});
