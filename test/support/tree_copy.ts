import { randomUUID } from 'node:crypto';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PROJECT } from './imports.ts';
import { testRunFolder } from './run_folder.ts';

/** What a coordinator, a worker or the fault laboratory needs of the project. */
const PARTS = ['coordinator', 'proto', 'worker', 'test', 'package.json'];
/** Nothing of these is ours. */
const FOREIGN = new Set(['node_modules', '.venv', '__pycache__']);

/** A copy of the project in the run's folder, which goes with it: to be changed and run beside the original. Returns its folder. */
export async function copyTree(): Promise<string> {
  const folder = join(await testRunFolder(), `tree-${randomUUID()}`);
  await mkdir(folder);
  for (const part of PARTS) {
    await cp(join(PROJECT, part), join(folder, part), { recursive: true, filter: (path) => !FOREIGN.has(basename(path)) });
  }
  await symlink(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}
