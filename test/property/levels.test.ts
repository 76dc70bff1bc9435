/** Marks never lose a position: whatever becomes visible, in whatever order, is asked for within the trailing window. */
import test from 'ava';
import fc from 'fast-check';
import { Levels, TRAIL_MS } from '../../coordinator/engine/levels.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';

const QUEUE = 1;
const PRIORITIES = [0, 5];

/**
 * The table `ready`, as one coordinator sees it: rows become visible when their transaction commits, which may be long
 * after they drew their position; a claim takes what is visible above what it was asked for, but not what others lock.
 */
class Table {
  #position = 0n;
  readonly #rows = new Map<bigint, { priority: number; visible: boolean; locked: boolean }>();

  draw(priority: number): bigint {
    this.#position += 1n;
    this.#rows.set(this.#position, { priority, visible: false, locked: false });
    return this.#position;
  }

  commit(position: bigint): void {
    this.#rows.get(position)!.visible = true;
  }

  /** As another coordinator's claim does, or its rollback. */
  lock(position: bigint, locked: boolean): void {
    this.#rows.get(position)!.locked = locked;
  }

  positions(which: (row: { visible: boolean; locked: boolean }) => boolean): bigint[] {
    return [...this.#rows].filter(([, row]) => which(row)).map(([position]) => position);
  }

  waiting(): { position: bigint; priority: number }[] {
    return [...this.#rows].filter(([, row]) => row.visible && !row.locked).map(([position, { priority }]) => ({ position, priority }));
  }

  claim(asks: { priority: number; mark: bigint }[], jobs: number): { taken: Map<number, bigint>; count: number } {
    const taken = new Map<number, bigint>();
    let count = 0;
    for (const { priority, mark } of asks) {
      for (const position of [...this.#rows.keys()].toSorted((a, b) => (a < b ? -1 : 1))) {
        const row = this.#rows.get(position)!;
        if (count < jobs && row.priority === priority && row.visible && !row.locked && position > mark) {
          this.#rows.delete(position);
          taken.set(priority, position);
          count += 1;
        }
      }
    }
    return { taken, count };
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const), priority: fc.constantFrom(...PRIORITIES) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('draw' as const), priority: fc.constantFrom(...PRIORITIES) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('commit' as const), which: fc.nat(), noticed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lock' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unlock' as const), which: fc.nat() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('claim' as const), jobs: fc.integer({ min: 1, max: 5 }), duringIt: fc.constantFrom('nothing', 'a submit', 'a late commit') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 4_000 }) }) },
);

/** No transaction is open for longer; a row may wait for two, its own and that of a claim which gives it up. */
const TRANSACTION_MS_MAX = TRAIL_MS / 2;
const LOOK_BACK_MS = 500;

test('whatever becomes visible is claimed: at once when it was noticed, by a look back when a mark had passed it', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new Table();
      const levels = new Levels();
      const open: { position: bigint; priority: number; sinceMs: number }[] = [];
      const locks: { position: bigint; sinceMs: number }[] = [];
      let nowMs = 1_000_000;
      let lookedBackMs = -Infinity;

      const noticed = new Set<bigint>();
      const everLocked = new Set<bigint>();
      const note = (priority: number, position: bigint) => {
        noticed.add(position);
        levels.note(QUEUE, priority, position);
      };
      const claim = (jobs: number, duringIt = 'nothing', mayLookBack = true) => {
        if (mayLookBack && nowMs - lookedBackMs >= LOOK_BACK_MS && levels.lookBack(nowMs)) lookedBackMs = nowMs;
        if (!levels.waitingQueueIds.has(QUEUE)) return false;
        const asks = levels.ask(QUEUE);
        const { taken, count } = table.claim(asks, jobs);
        // Committed and noticed between the claim's snapshot and its answer.
        if (duringIt === 'a submit') {
          const position = table.draw(0);
          table.commit(position);
          note(0, position);
        } else if (duringIt === 'a late commit' && open.length > 0) {
          finish(0, true);
        }
        levels.claimed(QUEUE, asks, taken, count < jobs, nowMs);
        return true;
      };
      const finish = (index: number, noticed: boolean) => {
        const [transaction] = open.splice(index, 1);
        table.commit(transaction!.position);
        if (noticed) note(transaction!.priority, transaction!.position);
      };
      const pass = (ms: number) => {
        const untilMs = nowMs + ms;
        while (nowMs < untilMs) {
          nowMs = Math.min(untilMs, nowMs + LOOK_BACK_MS);
          for (let index = open.length - 1; index >= 0; index -= 1) {
            if (nowMs - open[index]!.sinceMs >= TRANSACTION_MS_MAX) finish(index, false);
          }
          for (let index = locks.length - 1; index >= 0; index -= 1) {
            if (nowMs - locks[index]!.sinceMs >= TRANSACTION_MS_MAX) table.lock(locks.splice(index, 1)[0]!.position, false);
          }
          while (claim(1_000)) if (!levels.waitingQueueIds.has(QUEUE)) break;
        }
      };

      for (const each of steps) {
        if (each.do === 'submit') {
          const position = table.draw(each.priority);
          table.commit(position);
          note(each.priority, position);
        } else if (each.do === 'draw') {
          open.push({ position: table.draw(each.priority), priority: each.priority, sinceMs: nowMs });
        } else if (each.do === 'commit') {
          if (open.length > 0) finish(each.which % open.length, each.noticed);
        } else if (each.do === 'lock') {
          const free = table.positions((row) => row.visible && !row.locked).filter((position) => !everLocked.has(position));
          if (free.length > 0) {
            const position = free[each.which % free.length]!;
            table.lock(position, true);
            everLocked.add(position);
            locks.push({ position, sinceMs: nowMs });
          }
        } else if (each.do === 'unlock') {
          if (locks.length > 0) table.lock(locks.splice(each.which % locks.length, 1)[0]!.position, false);
        } else if (each.do === 'claim') {
          claim(each.jobs, each.duringIt);
        } else if (each.do === 'drain') {
          // With no look back: what was noticed, and nobody else held meanwhile, is there at once.
          while (levels.waitingQueueIds.has(QUEUE)) claim(3, 'nothing', false);
          if (table.waiting().some(({ position }) => noticed.has(position) && !everLocked.has(position))) return false;
        } else {
          pass(each.ms);
        }
      }
      pass(2 * TRANSACTION_MS_MAX + 2 * LOOK_BACK_MS);
      const marks = new Map(levels.marks(QUEUE, 0).map(({ priority, mark }) => [priority, mark]));
      // What was neither noticed nor passed by a mark is found by the scan from zero, not by marks.
      const left = table.waiting().filter(({ position, priority }) => noticed.has(position) || position <= marks.get(priority)!);
      return left.length === 0;
    }),
    { plugins: [fc.interruptAfterTimeLimit(PROPERTY_MS)], numRuns: 50_000 },
  );
  t.pass();
});
