import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { PROJECT } from '../support/imports.ts';

const BUF = join(PROJECT, 'node_modules/.bin/buf');

/** Runs buf; exit code and everything that it printed. */
function buf(folder: string, parameters: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(BUF, parameters, { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

/** A copy of the contract in which one file has been edited. */
async function copyWith(file: string, edit: (text: string) => string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'skiplease-proto-'));
  await cp(join(PROJECT, 'proto'), join(folder, 'proto'), { recursive: true });
  await cp(join(PROJECT, 'buf.yaml'), join(folder, 'buf.yaml'));
  await symlink(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
  const path = join(folder, 'proto/skiplease/v1', file);
  const before = await readFile(path, 'utf8');
  const after = edit(before);
  if (after === before) throw new Error(`The edit of ${file} changes nothing: the contract has moved on, this test must follow.`);
  await writeFile(path, after);
  return folder;
}

test('the contract passes buf lint', async (t) => {
  t.deepEqual(await buf(PROJECT, ['lint']), { code: 0, output: '' });
});

test('the contract breaks nothing that the baseline has', async (t) => {
  t.deepEqual(await buf(PROJECT, ['breaking', '--against', 'proto/baseline.binpb']), { code: 0, output: '' });
});

for (const { what, file, edit, says } of [
  {
    what: 'a field with another number',
    file: 'job.proto',
    edit: (text: string) => text.replace(/^( {2}string queue = )\d+;/m, '$1999;'),
    says: /Previously present field "\d+" with name "queue".* was deleted/,
  },
  {
    what: 'a field with another type',
    file: 'job.proto',
    edit: (text: string) => text.replace(/^ {2}string (queue = \d+;)/m, '  int64 $1'),
    says: /changed type from "string" to "int64"/,
  },
  {
    what: 'a method that is gone',
    file: 'worker_service.proto',
    edit: (text: string) => text.replace(/^ {2}rpc Lease\(.*\) returns \(.*\)(;| \{\})$/m, ''),
    says: /Previously present RPC "Lease".* was deleted/,
  },
  {
    what: 'an enum value with another name',
    file: 'job.proto',
    edit: (text: string) => text.replaceAll('JOB_STATE_READY', 'JOB_STATE_WAITING'),
    says: /JOB_STATE_READY/,
  },
]) {
  test(`a breaking edit is caught: ${what}`, async (t) => {
    const folder = await copyWith(file, edit);
    t.teardown(() => rm(folder, { recursive: true }));
    const { code, output } = await buf(folder, ['breaking', '--against', 'proto/baseline.binpb']);
    t.is(code, 100, output);
    t.regex(output, says);
  });
}

test('an edit that only adds is not called breaking', async (t) => {
  const folder = await copyWith('job.proto', (text) => `${text}\n// Something new.\nmessage Added {\n  string name = 1;\n}\n`);
  t.teardown(() => rm(folder, { recursive: true }));
  t.deepEqual(await buf(folder, ['breaking', '--against', 'proto/baseline.binpb']), { code: 0, output: '' });
});
