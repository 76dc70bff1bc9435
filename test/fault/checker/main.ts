/** The checker: `checker/main.ts FOLDER` reads what a run has left there, says what it found, and exits 1 if a promise was broken. */
import { check } from './check.ts';
import { readEvidence } from './read_evidence.ts';
import { describeVerdict } from './report.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: checker/main.ts FOLDER');

const verdict = check(await readEvidence(folder));
process.stdout.write(`${describeVerdict(verdict)}\n`);
process.exitCode = verdict.violations.length === 0 ? 0 : 1;
