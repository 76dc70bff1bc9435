import { Bits } from '../bits.ts';
import type { Specials } from '../store/claim.ts';
import { formatToken } from './token.ts';

/** A lease as its session knows it. The database's row is the truth; this is what makes the common case cheap. */
export class HeldLease {
  readonly leaseId: bigint;
  readonly secret: bigint;
  readonly token: string;
  readonly queueId: number;
  readonly jobIds: string[];
  readonly attempts: number[];
  /** Weight of each job in the window: bytes. */
  readonly bytes: number[];
  /** Jobs whose end concerns others: those of which more than a batch's count depends on it are settled the careful way. */
  readonly specials: Specials | undefined;
  /** How long each attempt may take, by place: milliseconds, null: no limit. undefined: none of them has one. */
  readonly timeoutsMs: readonly (number | null)[] | undefined;
  /** When it was granted, by this process's monotonic clock: milliseconds. */
  readonly grantedMs: number;
  /** Place among the stream's Lease messages; 0: resumed, it came by an earlier stream. */
  number = 0;
  /** Committed, as far as we know: what the row's mask must be for the fast settle. */
  settled: Bits;
  /** Reported and on its way to the database, or settled. */
  taken: Bits;
  #places: Map<string, number> | undefined;
  #next = 0;

  constructor(fields: {
    leaseId: bigint; secret: bigint; queueId: number; jobIds: string[]; attempts: number[]; bytes: number[];
    grantedMs: number; settled?: Bits; specials?: Specials | undefined;
    timeoutsMs?: readonly (number | null)[] | undefined;
  }) {
    this.leaseId = fields.leaseId;
    this.secret = fields.secret;
    this.token = formatToken(fields);
    this.queueId = fields.queueId;
    this.jobIds = fields.jobIds;
    this.attempts = fields.attempts;
    this.bytes = fields.bytes;
    this.specials = fields.specials;
    this.timeoutsMs = fields.timeoutsMs;
    this.grantedMs = fields.grantedMs;
    this.settled = fields.settled ?? new Bits(fields.jobIds.length);
    this.taken = this.settled.copy();
  }

  /** Where the job stands in the lease; -1: it does not. Workers mostly report in order, and then no map is needed. */
  place(jobId: string): number {
    if (this.#places === undefined) {
      if (this.jobIds[this.#next] === jobId) {
        this.#next += 1;
        return this.#next - 1;
      }
      this.#places = new Map(this.jobIds.map((id, index) => [id, index]));
    }
    return this.#places.get(jobId) ?? -1;
  }

  get unsettledJobs(): number {
    return this.settled.length - this.settled.count;
  }

  unsettledBytes(): number {
    let total = 0;
    for (let place = 0; place < this.bytes.length; place += 1) {
      total += this.settled.has(place) ? 0 : this.bytes[place]!;
    }
    return total;
  }

  unsettledJobIds(): string[] {
    return this.jobIds.filter((_, place) => !this.settled.has(place));
  }
}
