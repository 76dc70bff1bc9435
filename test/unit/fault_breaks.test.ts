/** The deliberate mistakes that the fault laboratory must find still fit what they break. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { BREAKS } from '../fault/broken/breaks.ts';
import { PROJECT } from '../support/imports.ts';

for (const { name, edits } of BREAKS) {
  test(`${name} fits`, async (t) => {
    for (const { file, from, to } of edits) {
      t.is((await readFile(join(PROJECT, file), 'utf8')).split(from).length, 2, `in ${file}, once: ${from}`);
      t.not(from, to);
    }
  });
}
