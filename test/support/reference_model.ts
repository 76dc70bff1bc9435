import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { parseToken } from '../../coordinator/engine/token.ts';

const { ACCEPTED, DUPLICATE, LEASE_LOST, CANCELLED } = ReceiptStatus;

/** What a worker, or an application in SQL, says of a job. `later`: after a time that passes only when the history says so. */
export type Word = 'succeed' | 'fail' | 'fail later' | 'fail for good' | 'release' | 'snooze';

export type Place = 'ready' | 'scheduled' | 'held' | 'succeeded' | 'failed' | 'cancelled';

/** A job as the model and the database both can say it. */
export interface JobLook {
  place: Place;
  /** The next one where it waits, else the one that is on, or was the last. */
  attempt: number;
  /** That holds it, or ended it. */
  leaseId: string | null;
  /** Attempts that failed or expired, in order: `1 expired under 17`. */
  tries: string[];
}

/** A lease with what is not settled of it; one that is settled to the end is not looked at. */
export interface LeaseLook {
  sessionId: string;
  coordinatorId: string;
  open: string[];
}

interface Job extends JobLook {
  readonly maxAttempts: number;
  /** Leases under which an attempt of it failed, or expired. */
  readonly failedUnder: Set<string>;
  readonly expiredUnder: Set<string>;
}

interface Lease {
  readonly id: string;
  readonly token: string;
  sessionId: string;
  coordinatorId: string;
  /** Jobs whose bit is clear: also those that an application has ended in SQL, until somebody sets it. */
  readonly open: Set<string>;
  readonly released: Set<string>;
}

const FINAL = new Set<Place>(['succeeded', 'failed', 'cancelled']);

/** Receipts that may be told, and those that may not: more than one where a lease's row may or may not have been swept. */
export type Expected = readonly ReceiptStatus[];

/**
 * The protocol as its promises have it, on one page: jobs, leases and who may change what. It knows no database, no time, and
 * nothing of coordinators but their ids. Which job goes to whom it does not say: it is told, and says whether that may be.
 */
export class ReferenceModel {
  readonly #maxAttempts: number;
  readonly #jobs = new Map<string, Job>();
  readonly #leases = new Map<string, Lease>();
  /** Sessions that have ended: whatever is leased to them never reached anybody. */
  readonly #ended = new Set<string>();

  constructor(maxAttempts: number) {
    this.#maxAttempts = maxAttempts;
  }

  get jobIds(): string[] {
    return [...this.#jobs.keys()];
  }

  get readyCount(): number {
    return [...this.#jobs.values()].filter(({ place }) => place === 'ready').length;
  }

  jobs(): Map<string, JobLook> {
    return new Map([...this.#jobs].map(([id, { place, attempt, leaseId, tries }]) => [id, { place, attempt, leaseId, tries }]));
  }

  leases(): Map<string, LeaseLook> {
    return new Map([...this.#leases.values()].filter(({ open }) => open.size > 0)
      .map(({ id, sessionId, coordinatorId, open }) => [id, { sessionId, coordinatorId, open: [...open].toSorted() }]));
  }

  /** Returns the ids that exist already. */
  submit(ids: string[], place: 'ready' | 'scheduled'): string[] {
    return ids.filter((id) => {
      const repeated = this.#jobs.has(id);
      if (!repeated) {
        this.#jobs.set(id, { place, attempt: 1, leaseId: null, tries: [], maxAttempts: this.#maxAttempts, failedUnder: new Set(), expiredUnder: new Set() });
      }
      return repeated;
    });
  }

  /** A lease arrived: what is wrong with it, if anything. */
  grant(token: string, sessionId: string, coordinatorId: string, window: number, jobs: { id: string; attempt: number }[]): string[] {
    const lease: Lease = { id: leaseIdOf(token), token, sessionId, coordinatorId, open: new Set(jobs.map(({ id }) => id)), released: new Set() };
    const wrong = this.#leases.has(lease.id) ? [`lease ${lease.id} was granted twice`] : [];
    this.#leases.set(lease.id, lease);
    for (const { id, attempt } of jobs) {
      const job = this.#jobs.get(id);
      if (job === undefined || job.place !== 'ready') {
        wrong.push(`${id} was leased while ${job?.place ?? 'nobody had submitted it'}`);
      } else {
        if (attempt !== job.attempt) wrong.push(`${id} was leased at attempt ${attempt}, not ${job.attempt}`);
        Object.assign(job, { place: 'held', leaseId: lease.id });
      }
    }
    const held = [...this.#leases.values()].filter((each) => each.sessionId === sessionId).reduce((sum, { open }) => sum + open.size, 0);
    return held <= window ? wrong : [...wrong, `a window of ${window} holds ${held}`];
  }

  /** The receipts that may be told, job by job. */
  report(token: string, outcomes: { jobId: string; word: Word }[]): Expected[] {
    const lease = this.#proven(token);
    return outcomes.map(({ jobId, word }) => {
      const job = this.#jobs.get(jobId);
      if (job === undefined) return [LEASE_LOST];
      if (lease?.open.delete(jobId) && !FINAL.has(job.place)) {
        this.#carryOut(lease, jobId, job, word);
        return [ACCEPTED];
      }
      const released = lease?.released.has(jobId) && (word === 'release' || word === 'snooze');
      const before = whatHappened(job, leaseIdOf(token));
      return released && before === LEASE_LOST ? [DUPLICATE, LEASE_LOST] : [before];
    });
  }

  /** In an application's transaction: the SQLSTATE that refuses it; undefined: it may. Only what is committed changes anything. */
  inSql(token: string, jobId: string, word: 'check' | Word, commits: boolean): string | undefined {
    const lease = this.#proven(token);
    const job = this.#jobs.get(jobId)!;
    if (!lease?.open.has(jobId) || FINAL.has(job.place)) {
      const before = whatHappened(job, leaseIdOf(token));
      return before === CANCELLED ? 'SK021' : before === LEASE_LOST ? 'SK020' : job.failedUnder.has(leaseIdOf(token)) ? 'SK023' : 'SK022';
    }
    if (commits && word !== 'check') {
      this.#carryOut(lease, jobId, job, word);
      // What gives a job back writes the mask; what ends it never does.
      if (!FINAL.has(job.place)) lease.open.delete(jobId);
    }
    return undefined;
  }

  /** Returns those that were not final. */
  cancel(ids: string[]): string[] {
    return ids.filter((id) => {
      const job = this.#jobs.get(id)!;
      if (FINAL.has(job.place)) return false;
      if (job.place === 'held') {
        this.#leases.get(job.leaseId!)!.open.delete(id);
      } else {
        job.attempt -= 1;
      }
      job.place = 'cancelled';
      return true;
    });
  }

  /**
   * A hello names tokens, and everything else that its instance's earlier sessions hold goes back. Returns what is open under each that
   * lives on. One that was ended before is looked at no more, but for those that this very coordinator still has (`here`): what was
   * leased to it since comes back when it has been silent for long enough.
   */
  resume(tokens: string[], earlier: string[], here: ReadonlySet<string>, sessionId: string, coordinatorId: string): Map<string, string[]> {
    const resumed = new Map<string, string[]>();
    for (const token of tokens) {
      const lease = this.#proven(token);
      if (lease !== undefined && lease.open.size > 0) {
        Object.assign(lease, { sessionId, coordinatorId });
        resumed.set(token, [...lease.open].toSorted());
      }
    }
    earlier.filter((id) => !this.#ended.has(id) || here.has(id)).forEach((id) => this.leave(id));
    return resumed;
  }

  /** What the session holds goes back free. */
  leave(sessionId: string): void {
    this.#of({ sessionId }).forEach((lease) => this.#giveBack(lease, 'release'));
    this.#ended.add(sessionId);
  }

  /** Silent for a time to live. */
  giveUp(sessionId: string): void {
    this.#of({ sessionId }).forEach((lease) => this.#giveBack(lease, this.#ended.has(sessionId) ? 'release' : 'expire'));
    this.#ended.add(sessionId);
  }

  /** A coordinator that nobody has heard of for long enough. */
  giveUpCoordinator(coordinatorId: string): void {
    this.#of({ coordinatorId }).forEach((lease) => this.#giveBack(lease, this.#ended.has(lease.sessionId) ? 'release' : 'expire'));
  }

  timePasses(): void {
    for (const job of this.#jobs.values()) {
      if (job.place === 'scheduled') job.place = 'ready';
    }
  }

  #proven(token: string): Lease | undefined {
    const lease = this.#leases.get(leaseIdOf(token));
    return lease?.token === token ? lease : undefined;
  }

  #of(name: Partial<Pick<Lease, 'sessionId' | 'coordinatorId'>>): Lease[] {
    return [...this.#leases.values()].filter((lease) => Object.entries(name).every(([key, value]) => lease[key as keyof Lease] === value));
  }

  #giveBack(lease: Lease, word: 'release' | 'expire'): void {
    for (const jobId of lease.open) {
      const job = this.#jobs.get(jobId)!;
      if (!FINAL.has(job.place)) this.#carryOut(lease, jobId, job, word);
    }
    lease.open.clear();
  }

  #carryOut(lease: Lease, jobId: string, job: Job, word: Word | 'expire'): void {
    if (word === 'succeed') {
      job.place = 'succeeded';
    } else if (word === 'release' || word === 'snooze') {
      lease.released.add(jobId);
      Object.assign(job, { place: word === 'snooze' ? 'scheduled' : 'ready', leaseId: null });
    } else {
      job.tries.push(`${job.attempt} ${word === 'expire' ? 'expired' : 'failed'} under ${lease.id}`);
      (word === 'expire' ? job.expiredUnder : job.failedUnder).add(lease.id);
      if (word === 'fail for good' || job.attempt === job.maxAttempts) {
        job.place = 'failed';
      } else {
        Object.assign(job, { place: word === 'fail later' ? 'scheduled' : 'ready', attempt: job.attempt + 1, leaseId: null });
      }
    }
  }
}

/** What a holder is told that holds the job no more. */
function whatHappened(job: Job, leaseId: string): ReceiptStatus {
  if (job.place === 'cancelled') return CANCELLED;
  if (job.expiredUnder.has(leaseId)) return LEASE_LOST;
  return job.failedUnder.has(leaseId) || (FINAL.has(job.place) && job.leaseId === leaseId) ? DUPLICATE : LEASE_LOST;
}

function leaseIdOf(token: string): string {
  return String(parseToken(token)!.leaseId);
}
