import { readdir, readFile } from 'node:fs/promises';
import { attemptOf, type Attempt } from './attempt.ts';

const CORPUS = new URL('corpus/', import.meta.url);

/** What was found once, and mended: each file a call. */
export async function readCorpus(): Promise<Attempt[]> {
  const names = (await readdir(CORPUS)).filter((name) => name.endsWith('.json')).sort();
  return Promise.all(names.map(async (name) => attemptOf(await readFile(new URL(name, CORPUS), 'utf8'))));
}
