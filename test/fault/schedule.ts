import type { Fault, Strike, TargetKind } from './fault.ts';
import { Random } from './random.ts';

/** From one strike to the next: several are under way at most times, and there is work done in between. */
const GAP_MS = [300, 4_000] as const;

/** How long a target is left alone after a strike, to come back and be of use again. */
const REST_MS: Record<TargetKind, number> = {
  coordinator: 7_000, worker: 4_000, database: 8_000, 'worker link': 1_500, 'database link': 3_000, everything: 10_000,
};

export interface ScheduleOptions {
  seed: number;
  durationMs: number;
  faults: readonly Fault[];
  /** How many there are of each kind of target. */
  targets: Readonly<Record<TargetKind, number>>;
}

/** Each fault once in random order, then by their weights. Nothing lasts beyond the end. */
export function makeSchedule({ seed, durationMs, faults, targets }: ScheduleOptions): Strike[] {
  const random = new Random(seed);
  const waiting = random.shuffled(faults);
  const busyUntilMs = new Map<string, number>();
  const strikes: Strike[] = [];
  for (let atMs = random.between(...GAP_MS); atMs < durationMs && faults.length > 0; atMs += random.between(...GAP_MS)) {
    const owed = waiting.length > 0;
    const fault = waiting.shift() ?? random.weighted(faults);
    const target = random.between(0, targets[fault.target] - 1);
    const lastsMs = random.between(...fault.lastsMs);
    const strikeSeed = random.between(0, 2 ** 32 - 1);
    if (atMs + lastsMs > durationMs) continue;
    if (isFree(fault, target, atMs, busyUntilMs)) {
      busyUntilMs.set(key(fault.target, target), atMs + lastsMs + REST_MS[fault.target]);
      strikes.push({ number: strikes.length + 1, fault: fault.name, atMs, lastsMs, target, seed: strikeSeed });
    } else if (owed || fault.target === 'everything') {
      // Nothing else begins while only such faults wait, so their moment comes.
      waiting.push(fault);
    }
  }
  return strikes;
}

/** One line for people. */
export function describeStrike({ number, atMs, fault, target, lastsMs }: Strike): string {
  return `${String(number).padStart(4)}  ${(atMs / 1_000).toFixed(1).padStart(7)} s  ${fault.padEnd(24)} ${target}  for ${(lastsMs / 1_000).toFixed(1)} s`;
}

function isFree(fault: Fault, target: number, atMs: number, busyUntilMs: ReadonlyMap<string, number>): boolean {
  if (fault.target === 'everything') return [...busyUntilMs.values()].every((untilMs) => untilMs <= atMs);
  const wanted = [key(fault.target, target), key('everything', 0)];
  return wanted.every((one) => (busyUntilMs.get(one) ?? 0) <= atMs);
}

function key(kind: TargetKind, target: number): string {
  return `${kind} ${target}`;
}
