import { setTimeout as delay } from 'node:timers/promises';

const LOOK_INTERVAL_MS = 10;

/** Looks until `look` gives something, or throws past the deadline. */
export async function waitFor<Found>(
  what: string,
  deadlineMs: number,
  look: () => Promise<Found | undefined>,
): Promise<Found> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    await delay(LOOK_INTERVAL_MS);
  }
}
