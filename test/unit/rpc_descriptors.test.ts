import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);
const ROOT = new URL('../../', import.meta.url).pathname;

for (const [name, source] of [['contract.binpb', '.'], ['health.binpb', 'node_modules/grpc-health-check/proto']] as const) {
  test(`${name} is what the .proto files say (npm run generate:descriptors)`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'skiplease-descriptors-'));
    try {
      const file = join(folder, name);
      await run(join(ROOT, 'node_modules/.bin/buf'), ['build', source, '--as-file-descriptor-set', '-o', file], { cwd: ROOT });
      t.true((await readFile(file)).equals(await readFile(join(ROOT, 'coordinator/rpc', name))));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
