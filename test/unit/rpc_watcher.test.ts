/** The one mechanism behind every watch, with a kind of the test's own: what it looks at, and readers of every pace. */
import { EventEmitter } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import test from 'ava';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { StatusMapper } from '../../coordinator/rpc/status.ts';
import { Watcher } from '../../coordinator/rpc/watcher.ts';
import type { Look } from '../../coordinator/rpc/watcher.ts';
import { keepLog } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

interface Request {
  ids: string[];
}
interface Shown {
  id: string;
  version: number;
}

const DEADLINE_MS = 10_000;
/** Longer than any test: what is seen earlier is due to a hint. */
const NEVER_MS = 60_000;

/** A stream whose reader takes each message when the test says so, or at once. */
class Reader extends EventEmitter {
  readonly request: Request;
  readonly written: Shown[] = [];
  cancelled = false;
  destroyed = false;
  refusal: { code?: number; details?: string } | undefined;
  ended = false;
  slow = false;
  #taken: (() => void)[] = [];

  constructor(ids: string[]) {
    super();
    this.request = { ids };
    this.on('error', (error: { code: number; details: string }) => {
      this.refusal = error;
    });
  }

  write(message: Shown, taken: () => void): boolean {
    this.written.push(message);
    if (this.slow) {
      this.#taken.push(taken);
    } else {
      setImmediate(taken);
    }
    return !this.slow;
  }

  take(): void {
    this.#taken.splice(0).forEach((taken) => taken());
  }

  end(): void {
    this.ended = true;
  }

  getPath(): string {
    return '/test/Watch';
  }

  cancel(): void {
    this.cancelled = true;
    this.emit('cancelled');
  }

  until(count: number): Promise<boolean> {
    return waitFor(() => this.written.length >= count, { deadlineMs: DEADLINE_MS, what: `${count} messages (of ${JSON.stringify(this.written)})` });
  }
}

const watchers: { stop(): void }[] = [];
test.after.always(() => watchers.forEach((watcher) => watcher.stop()));

/** Things with versions; those that end in `!` are final at version 3. */
function world(options: { intervalMs?: number; bytes?: number; readMax?: number } = {}) {
  const versions = new Map<string, number>();
  const looks: string[][] = [];
  let failure: Error | undefined;
  const watcher = new Watcher<Request, Look, Shown>({
    name: 'things',
    idsOf: ({ ids }) => {
      if (ids.length === 0) {
        throw new SkipleaseError('INVALID_ARGUMENT', 'INVALID_FIELD', 'nothing to watch');
      }
      return ids;
    },
    intervalMs: options.intervalMs ?? NEVER_MS,
    look: async (ids) => {
      looks.push(ids);
      if (failure !== undefined) {
        throw failure;
      }
      return ids.filter((id) => versions.has(id)).map((id) => ({ id, mark: String(versions.get(id)) }));
    },
    readMax: options.readMax ?? 20,
    read: async (seen) => seen.map(({ id }) => {
      const version = versions.get(id)!;
      return { id, mark: String(version), response: { id, version }, final: id.endsWith('!') && version === 3, bytes: options.bytes ?? 1 };
    }),
    missing: (id) => new SkipleaseError('NOT_FOUND', 'GONE', `There is no ${id}.`),
  }, new StatusMapper(keepLog() as never, () => {}));
  watchers.push(watcher);
  return {
    watcher, looks,
    set: (id: string, version: number) => {
      versions.set(id, version);
      watcher.hint();
    },
    remove: (id: string) => {
      versions.delete(id);
      watcher.hint();
    },
    fail: (error: Error | undefined) => {
      failure = error;
    },
    watch: (...ids: string[]) => {
      const reader = new Reader(ids);
      watcher.handler(reader as unknown as ServerWritableStream<Request, Shown>);
      return reader;
    },
  };
}

test('the first state, then each change at its hint, and the end with the final one', async (t) => {
  const { set, watch } = world();
  set('a!', 1);
  const reader = watch('a!');
  await reader.until(1);
  set('a!', 2);
  await reader.until(2);
  set('a!', 3);
  await waitFor(() => reader.ended, { deadlineMs: DEADLINE_MS, what: 'the end' });
  t.deepEqual(reader.written.map(({ version }) => version), [1, 2, 3]);
  const late = watch('a!');
  await waitFor(() => late.ended, { deadlineMs: DEADLINE_MS, what: 'the end' });
  t.deepEqual(late.written, [{ id: 'a!', version: 3 }]);
});

test('without a hint a change is seen at the next look', async (t) => {
  const versions = world({ intervalMs: 20 });
  versions.set('a', 1);
  const reader = versions.watch('a');
  await reader.until(1);
  const before = versions.looks.length;
  await waitFor(() => versions.looks.length > before + 2, { deadlineMs: DEADLINE_MS, what: 'looks by themselves' });
  versions.set('a', 2);
  await reader.until(2);
  reader.cancel();
  t.deepEqual(reader.written.map(({ version }) => version), [1, 2]);
});

test('a slow reader has one message waiting, and gets the newest when it reads on', async (t) => {
  const { set, watch, looks } = world();
  set('a', 1);
  const [slow, quick] = [watch('a'), watch('a')];
  slow.slow = true;
  for (let version = 2; version <= 50; version += 1) {
    const looked = looks.length;
    set('a', version);
    await waitFor(() => looks.length > looked && quick.written.at(-1)?.version === version, { deadlineMs: DEADLINE_MS, what: `version ${version}` });
  }
  t.is(slow.written.length, 1);
  slow.slow = false;
  slow.take();
  await slow.until(2);
  t.is(slow.written.at(-1)!.version, 50);
});

test('one stream watches many; ids that are named twice count once', async (t) => {
  const { set, watch, looks } = world();
  set('a', 1);
  set('b', 1);
  const reader = watch('a', 'b', 'a');
  await reader.until(2);
  t.deepEqual(looks[0], ['a', 'b']);
  set('b', 2);
  await reader.until(3);
  t.deepEqual(reader.written, [{ id: 'a', version: 1 }, { id: 'b', version: 1 }, { id: 'b', version: 2 }]);
});

test('what is not there, or goes away, ends the watch; a wrong request is refused', async (t) => {
  const { set, remove, watch } = world();
  set('a', 1);
  const [missing, gone, wrong] = [watch('a', 'x'), watch('a'), watch()];
  await gone.until(1);
  remove('a');
  await waitFor(() => gone.refusal, { deadlineMs: DEADLINE_MS, what: 'a refusal' });
  t.deepEqual([missing.refusal?.details, gone.refusal?.details, wrong.refusal?.details], ['There is no x.', 'There is no a.', 'nothing to watch']);
});

test('while the database is away, who has seen nothing yet is told; the others wait', async (t) => {
  const { set, fail, watch } = world();
  set('a', 1);
  const first = watch('a');
  await first.until(1);
  fail(new SkipleaseError('UNAVAILABLE', 'DATABASE_AWAY', 'away'));
  const late = watch('a');
  await waitFor(() => late.refusal, { deadlineMs: DEADLINE_MS, what: 'a refusal' });
  t.is(first.refusal, undefined);
  fail(undefined);
  set('a', 2);
  await first.until(2);
  t.is(first.written.at(-1)!.version, 2);
});

test('messages that nobody takes are bounded in bytes, over all readers', async (t) => {
  const { watcher, set, watch } = world({ bytes: 30 * 1_048_576, readMax: 1 });
  const ids = Array.from({ length: 10 }, (_, index) => `slow-${index}`);
  ids.forEach((id) => set(id, 1));
  const readers = ids.map((id) => {
    const reader = watch(id);
    reader.slow = true;
    return reader;
  });
  await readers[2]!.until(1);
  set('other', 1);
  t.is(readers.filter(({ written }) => written.length > 0).length, 3, '90 MiB wait: the bound is passed, and nobody else is sent anything');
  for (const reader of readers) {
    watcher.hint();
    await reader.until(1);
    reader.take();
  }
  t.true(readers.every(({ written }) => written.length === 1));
});

test('so many may be watched and no more; who leaves makes room', async (t) => {
  const { set, watch } = world();
  const ids = Array.from({ length: 100 }, (_, index) => String(index));
  ids.forEach((id) => set(id, 1));
  const readers = Array.from({ length: 50 }, () => watch(...ids));
  await readers.at(-1)!.until(100);
  const refused = watch('0');
  t.regex(refused.refusal!.details!, /^5000 things are watched here already/);
  readers[0]!.cancel();
  const welcome = watch(...ids);
  await welcome.until(100);
  t.not(watch('0').refusal, undefined);
});

test('nobody watches: nobody looks, whatever the hints; a stop ends every watch and refuses new ones', async (t) => {
  const { watcher, set, watch, looks } = world({ intervalMs: 10 });
  set('a', 1);
  t.is(looks.length, 0);
  const left = watch('a');
  await left.until(1);
  left.cancel();
  const watched = watch('a');
  await watched.until(1);
  watcher.stop();
  t.regex(watched.refusal!.details!, /going away/);
  t.regex(watch('a').refusal!.details!, /going away/);
  const looked = looks.length;
  set('a', 2);
  await new Promise(setImmediate);
  t.is(looks.length, looked);
});
