import { setTimeout as delay } from 'node:timers/promises';

const LOOK_INTERVAL_MS = 10;

/**
 * Waits until a condition holds and answers what it gave. Everything that is not `undefined`, `null` or `false`
 * counts as holding; an exception ends the wait. Past the deadline it fails, naming what was waited for and the
 * last answer.
 */
export async function waitFor<Result>(
  condition: () => Promise<Result> | Result,
  { deadlineMs, what }: { deadlineMs: number; what: string },
): Promise<Exclude<Result, undefined | null | false>> {
  const deadline = performance.now() + deadlineMs;
  let last: Result;
  do {
    last = await condition();
    if (last !== undefined && last !== null && last !== false) return last as Exclude<Result, undefined | null | false>;
    await delay(LOOK_INTERVAL_MS);
  } while (performance.now() < deadline);
  throw new Error(`Waited ${deadlineMs} ms in vain for ${what} (the last look gave ${String(last)}).`);
}

/** Fails when a promise takes longer than the deadline. */
export async function within<Result>(promise: Promise<Result>, deadlineMs: number, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${deadlineMs} ms in vain for ${what}.`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
