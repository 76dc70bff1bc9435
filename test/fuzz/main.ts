/** `npm run fuzz -- --minutes 15 --seed 1`, or `npm run fuzz -- FILE ...` to repeat what was found. See README.md. */
import { randomInt } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attemptOf, attemptText } from './attempt.ts';
import { readCorpus } from './corpus.ts';
import { fuzz, type Finding } from './fuzz.ts';

const FOUND = 'node_modules/.cache/fuzz';
const MINUTE_MS = 60_000;
/** On a machine that is busy with other things, too. */
const GOOD_P99_MS_MAX = 5_000;

const { values, positionals: files } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    'memory-mib': { type: 'string', default: '512' },
  },
  allowPositionals: true,
});
const seed = Number(values.seed);
const minutes = files.length === 0 ? Number(values.minutes) : 0;
const say = (line: string) => process.stdout.write(`${line}\n`);

say(files.length === 0 ? `fuzzing for ${minutes} minutes with --seed ${seed}` : `repeating ${files.join(', ')}`);
await mkdir(FOUND, { recursive: true });
const keeping: Promise<void>[] = [];
const { calls, answers, findings, good, memoryMaxMiB, logs } = await fuzz({
  seed,
  durationMs: minutes * MINUTE_MS,
  first: files.length === 0 ? await readCorpus() : await Promise.all(files.map(async (file) => attemptOf(await readFile(file, 'utf8')))),
  memoryMaxMiB: Number(values['memory-mib']),
  goodP99MsMax: GOOD_P99_MS_MAX,
  onFinding: (finding) => keeping.push(keep(finding, keeping.length + 1)),
});
await Promise.all(keeping);
if (findings.length > 0) {
  await writeFile(join(FOUND, `${seed}.log`), logs.join('\n'));
}
[...answers].sort(([a], [b]) => (a < b ? -1 : 1)).forEach(([what, count]) => say(`${String(count).padStart(8)} ${what}`));
say(`${calls} calls; ${good.jobs} jobs of the good client, its submits p99 ${good.submitP99Ms} ms, from submit to handler p99 ${good.jobP99Ms} ms, `
  + `slowest ${good.slowestMs} ms; memory at most ${memoryMaxMiB} MiB; ${findings.length} findings (--seed ${seed})`);
say(findings.length === 0 ? '1 passed, 0 failed' : `0 passed, ${findings.length} failed`);
// Not by itself: Node may wait for ever for what the broken connections have left.
process.exit(findings.length === 0 ? 0 : 1);

/** Each call that was under way in a file of its own. */
async function keep({ problem, attempts }: Finding, number: number): Promise<void> {
  say(`FOUND ${problem}`);
  await Promise.all(attempts.map(async (attempt, index) => {
    const file = join(FOUND, `${seed}_${number}_${index + 1}.json`);
    await writeFile(file, attemptText(attempt, problem));
    say(`  ${attempt.path}: npm run fuzz -- ${file}`);
  }));
}
