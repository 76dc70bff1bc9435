import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { FAULTS } from './faults/index.ts';
import { inject } from './injector.ts';
import { bringUp, SIZES, type RunningLab } from './lab/bring_up.ts';
import { countUnfinished, writeRows } from './lab/read_rows.ts';
import { parseOptions, USAGE, type Options } from './options.ts';
import { describeStrike, makeSchedule } from './schedule.ts';
import type { Strike } from './fault.ts';

const CHECKER = new URL('checker/main.ts', import.meta.url).pathname;

/** From the last fault until everything has ended: times to live to pass, backoffs, the backlog; on a busy machine. */
const SETTLE_MS_MAX = 180_000;
const LOOK_MS = 500;

/** What the checker may need for an hour of events: megabytes. */
const CHECKER_HEAP_MB = 6_000;

async function run(options: Options): Promise<number> {
  const { minutes, seed, faults } = options;
  const schedule = makeSchedule({ seed, durationMs: minutes * 60_000, faults, targets: SIZES });
  say(`seed ${seed}: ${schedule.length} strikes in ${minutes} minutes`);
  for (const strike of schedule) say(describeStrike(strike));
  if (options.plan) return 0;

  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'skiplease-fault-')));
  await mkdir(folder, { recursive: true });
  const lab = await bringUp(folder, seed);
  say(`the lab is up; histories and logs are in ${folder}`);
  try {
    await strike(lab, options, schedule);
    await writeRows(lab.database, join(folder, 'rows'));
  } finally {
    await lab.stop();
  }
  const code = await judge(folder);
  if (code !== 0) {
    const named = faults === FAULTS ? '' : ` --faults ${faults.map(({ name }) => name).join(',')}`;
    say(`again: npm run fault -- --seed ${seed} --minutes ${minutes}${named}`);
  } else if (options.folder === undefined) {
    await rm(folder, { recursive: true });
  }
  return code;
}

/** Faults; then peace, and time to bring everything to its end. */
async function strike(lab: RunningLab, { faults, seed }: Options, schedule: readonly Strike[]): Promise<void> {
  lab.history.write({ event: 'began', seed });
  await inject(lab, faults, schedule);
  lab.history.write({ event: 'healed' });
  // Who lies lets go, who submits brings to its end what was begun.
  const healedMs = performance.now();
  await Promise.all([lab.submitter.stop(SETTLE_MS_MAX), ...lab.liars.map((each) => each.stop())]);
  let unfinished = Infinity;
  while (unfinished > 0 && performance.now() - healedMs < SETTLE_MS_MAX) {
    await delay(LOOK_MS);
    unfinished = await countUnfinished(lab.database);
  }
  // The workers' last words: receipts that are on their way.
  await Promise.all(lab.workers.map((each) => each.stop()));
  lab.history.write({ event: 'settled', unfinished });
  say(`all was at its end ${((performance.now() - healedMs) / 1_000).toFixed(1)} s after the last fault${unfinished === 0 ? '' : `, but for ${unfinished}`}`);
}

/** In a process of its own: it goes by the folder alone. */
async function judge(folder: string): Promise<number> {
  const checker = spawn(process.execPath, [`--max-old-space-size=${CHECKER_HEAP_MB}`, CHECKER, folder], { stdio: 'inherit' });
  const [code] = (await once(checker, 'exit')) as [number | null];
  return code ?? 1;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

let options: Options;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
  process.exit(2);
}
const code = await run(options);
// Not by itself: after so many broken connections Node may wait for a request for ever, in its own clean-up.
process.exit(code);
