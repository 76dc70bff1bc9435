/**
 * Shows that the laboratory finds what it is there to find: runs it on copies of the project, each with one deliberate mistake, and fails
 * if one of them passes. `npm run fault:broken -- [--seed N] [--minutes M] [NAME ...]`
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startProcess } from '../../support/processes.ts';
import { copyTree } from '../../support/tree_copy.ts';
import { BREAKS, type Break } from './breaks.ts';

/** From the start of the laboratory to its verdict. */
const CAUGHT_MS_MAX = 120_000;
/** Lines of a verdict that are shown. */
const SHOWN_LINES = 4;

const { values, positionals } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, minutes: { type: 'string', default: '0.4' } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !BREAKS.some((known) => known.name === name));
if (unknown.length > 0) throw new Error(`no such break: ${unknown.join(', ')} (there are ${BREAKS.map(({ name }) => name).join(', ')})`);

let missed = 0;
for (const wrong of BREAKS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  if (!(await isCaught(wrong))) missed += 1;
}
console.log(missed === 0 ? 'every broken build was caught' : `${missed} broken builds were not caught`);
process.exitCode = missed === 0 ? 0 : 1;

async function isCaught(wrong: Break): Promise<boolean> {
  const folder = await copyTree();
  try {
    await breakTree(folder, wrong);
    console.log(`${wrong.name}: ${wrong.does}`);
    const startedMs = performance.now();
    const parameters = ['test/fault/main.ts', '--minutes', values.minutes, '--seed', values.seed, '--folder', join(folder, 'histories')];
    const lab = await startProcess(process.execPath, parameters, { cwd: folder, env: process.env });
    const code = await lab.exited;
    const tookMs = performance.now() - startedMs;
    const violations = lab.logs.filter((line) => line.includes('VIOLATION'));
    const caught = code !== 0 && violations.length > 0 && tookMs <= CAUGHT_MS_MAX;
    console.log(`  ${caught ? 'caught' : 'NOT CAUGHT'} after ${Math.round(tookMs / 1_000)} s, exit code ${code}`);
    for (const line of (violations.length > 0 ? violations : lab.logs.slice(-20)).slice(0, violations.length > 0 ? SHOWN_LINES : 20)) console.log(`    ${line}`);
    return caught;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Fails where the text that is to be replaced is not there, or more than once: the break is then to be written anew. */
async function breakTree(folder: string, { name, edits }: Break): Promise<void> {
  for (const { file, from, to } of edits) {
    const path = join(folder, file);
    const parts = (await readFile(path, 'utf8')).split(from);
    if (parts.length !== 2) throw new Error(`The break ${name} does not fit ${file} any more: "${from}" stands there ${parts.length - 1} times.`);
    await writeFile(path, parts.join(to));
  }
}
