import { readFile } from 'node:fs/promises';
import test from 'ava';
import { RULES } from '../fault/checker/rules/index.ts';
import type { Fault } from '../fault/fault.ts';
import { FAULTS, faultsNamed } from '../fault/faults/index.ts';
import { makeSchedule } from '../fault/schedule.ts';

const TARGETS = { coordinator: 3, worker: 3, database: 1, 'worker link': 3, 'database link': 4, everything: 1 };
const MINUTE_MS = 60_000;

const scheduleOf = (seed: number, faults: readonly Fault[] = FAULTS, durationMs = 10 * MINUTE_MS) => makeSchedule({ seed, durationMs, faults, targets: TARGETS });

test('the same seed gives the same strikes, another one others', (t) => {
  t.deepEqual(scheduleOf(7), scheduleOf(7));
  t.notDeepEqual(scheduleOf(7), scheduleOf(8));
});

test('every fault strikes, none beyond the end, and no two at one target', (t) => {
  const everything: Fault = { name: 'everything', does: '', target: 'everything', lastsMs: [1_000, 5_000], weight: 1, inject: async () => {} };
  const faults = [...FAULTS, everything];
  for (let seed = 0; seed < 50; seed += 1) {
    const strikes = scheduleOf(seed, faults);
    t.is(new Set(strikes.map(({ fault }) => fault)).size, faults.length);
    const underWay: { target: string; untilMs: number }[] = [];
    for (const { atMs, lastsMs, fault, target } of strikes) {
      t.true(atMs + lastsMs <= 10 * MINUTE_MS);
      const kind = faults.find(({ name }) => name === fault)!.target;
      const now = underWay.filter(({ untilMs }) => untilMs > atMs);
      t.false(now.some((other) => other.target === `${kind} ${target}` || other.target.startsWith('everything') || kind === 'everything'), `${fault} at ${atMs}`);
      underWay.push({ target: `${kind} ${target}`, untilMs: atMs + lastsMs });
    }
  }
});

test('a short run strikes too', (t) => {
  for (let seed = 0; seed < 20; seed += 1) t.true(scheduleOf(seed, FAULTS, MINUTE_MS).length >= 10);
});

test('faults are picked by name', (t) => {
  t.deepEqual(faultsNamed('kill-worker,crash-database').map(({ name }) => name).toSorted(), ['crash-database', 'kill-worker']);
  t.is(faultsNamed(''), FAULTS);
  t.throws(() => faultsNamed('kill-worker,flood'), { message: /no such fault: flood/ });
});

test('the README has every fault and every rule', async (t) => {
  const readme = await readFile('test/fault/README.md', 'utf8');
  for (const { name, does } of FAULTS) t.true(readme.includes(`| \`${name}\` | ${does} |`), name);
  for (const { name, holds } of RULES) t.true(readme.includes(`| ${name} | ${holds} |`), name);
});
