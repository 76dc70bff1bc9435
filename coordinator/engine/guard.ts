import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Store } from '../store/store.ts';
import { ConditionKind } from '../types.ts';
import { diagnose } from './diagnose.ts';

/** How often the database is asked how it is. */
const LOOK_MS = 10_000;
/** A plan changes with an index that goes, or a setting: seldom. */
const PLAN_MS = 60_000;
/** The middle one of so many heartbeats counts: one that waited for something else says nothing of the disk. */
const BEATS = 9;

/** A condition of the database that slows queues down, while it lasts. */
export interface Condition {
  kind: ConditionKind;
  message: string;
  /** When this coordinator first saw it: milliseconds of the database's clock. */
  sinceMs: number;
}

/** Says why when the database gets slow: in a metric, in the log when it begins and ends, and to whoever looks at a queue. */
export class Guard {
  readonly #store: Store;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #databaseNowMs: () => number;
  readonly #conditions = new Map<ConditionKind, Condition>();
  readonly #beatsMs: number[] = [];
  #lookDueMs = 0;
  #planDueMs = 0;
  #tablesReadWhole: string[] = [];

  constructor(deps: { store: Store; metrics: Metrics; clock: Clock; databaseNowMs: () => number }) {
    this.#store = deps.store;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#databaseNowMs = deps.databaseNowMs;
  }

  get conditions(): Condition[] {
    return [...this.#conditions.values()];
  }

  /** A heartbeat was committed, and took so long. */
  beat(ms: number): void {
    this.#beatsMs.push(ms);
    if (this.#beatsMs.length > BEATS) {
      this.#beatsMs.shift();
    }
  }

  /** Looks when it is time to. */
  async tick(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#planDueMs) {
      this.#planDueMs = nowMs + PLAN_MS;
      this.#tablesReadWhole = (await this.#store.tablesReadWholeByClaim()) ?? [];
    }
    if (nowMs >= this.#lookDueMs) {
      this.#lookDueMs = nowMs + LOOK_MS;
      await this.look();
    }
  }

  async look(): Promise<void> {
    const facts = await this.#store.databaseFacts();
    const beatMs = this.#beatsMs.length < BEATS ? 0 : this.#beatsMs.toSorted((a, b) => a - b)[BEATS >> 1]!;
    const found = diagnose({ facts, tablesReadWhole: this.#tablesReadWhole, beatMs });
    for (const [kind, message] of found) {
      const known = this.#conditions.get(kind);
      if (known === undefined) {
        this.#store.log.warn({ event: 'condition_begins', condition: nameOf(kind) }, message);
      }
      this.#conditions.set(kind, { kind, message, sinceMs: known?.sinceMs ?? this.#databaseNowMs() });
    }
    for (const kind of this.#conditions.keys()) {
      if (!found.has(kind)) {
        this.#conditions.delete(kind);
        this.#store.log.info({ event: 'condition_ends', condition: nameOf(kind) }, 'back to normal');
      }
    }
    this.#metrics.database({
      conditions: [...found.keys()].map(nameOf),
      oldestSnapshotSeconds: (facts.oldestSnapshot?.ageMs ?? 0) / 1_000,
      deadRows: facts.tables.map(({ name, deadRows }) => ({ table: name, deadRows })),
    });
  }
}

/** As the metric and the log have it: `old_snapshot`. */
function nameOf(kind: ConditionKind): string {
  return Object.entries(ConditionKind).find(([, value]) => value === kind)![0].toLowerCase();
}
