/** Everything is called with everything, for a few seconds with another seed each time; `npm run fuzz` goes on for longer. */
import { randomInt } from 'node:crypto';
import test from 'ava';
import { readCorpus } from '../fuzz/corpus.ts';
import { fuzz } from '../fuzz/fuzz.ts';

const DURATION_MS = 4_000;
const MEMORY_MAX_MIB = 512;
const GOOD_P99_MS_MAX = 5_000;

test('what was found once, then random messages: each is answered as it should be, and nobody else notices', async (t) => {
  const seed = randomInt(1_000_000);
  const first = await readCorpus();
  const { calls, findings, good, memoryMaxMiB } = await fuzz({ seed, durationMs: DURATION_MS, first, memoryMaxMiB: MEMORY_MAX_MIB, goodP99MsMax: GOOD_P99_MS_MAX });
  t.log(`npm run fuzz -- --seed ${seed}: ${calls} calls; ${good.jobs} jobs beside them, p99 ${good.jobP99Ms} ms; memory ${memoryMaxMiB} MiB`);
  t.deepEqual(findings.map(({ problem, attempts }) => [problem, ...attempts.map(({ path }) => path)]), []);
  t.true(calls > first.length);
});
