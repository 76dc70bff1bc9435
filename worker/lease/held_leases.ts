import type { HeldLease as HeldLeaseMessage, Lease, Welcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { AbortReason } from '../abort_reasons.ts';
import { JobCancelledError, LeaseLostError } from '../abort_reasons.ts';
import type { PayloadCodec } from '../codec/codec.ts';
import { HeldJob } from './held_job.ts';

/** One lease: its token, and those of its jobs that have no receipt yet. */
export interface HeldLease {
  readonly token: string;
  readonly queue: string;
  readonly jobs: Map<string, HeldJob>;
  /** How the contents of its jobs are read and written; undefined: as they are. */
  readonly codec: PayloadCodec | undefined;
}

/** Everything that this worker holds, by token: what the next hello names. */
export class HeldLeases {
  readonly #leases = new Map<string, HeldLease>();
  readonly #codec: PayloadCodec | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(codec?: PayloadCodec) {
    this.#codec = codec;
  }

  /** The jobs of a lease that has arrived; those that are held already are left as they are. */
  add(lease: Lease): HeldJob[] {
    if (lease.jobs.length === 0) return [];
    let held = this.#leases.get(lease.token);
    if (held === undefined) {
      held = { token: lease.token, queue: lease.queue, jobs: new Map(), codec: this.#codec };
      this.#leases.set(lease.token, held);
    }
    const added: HeldJob[] = [];
    for (const wire of lease.jobs) {
      if (held.jobs.has(wire.id)) continue;
      const job = new HeldJob(held, wire);
      held.jobs.set(wire.id, job);
      added.push(job);
    }
    return added;
  }

  find(token: string, jobId: string): HeldJob | undefined {
    return this.#leases.get(token)?.jobs.get(jobId);
  }

  tokens(): string[] {
    return [...this.#leases.keys()];
  }

  jobsOf(token: string): HeldJob[] {
    return [...(this.#leases.get(token)?.jobs.values() ?? [])];
  }

  /** All jobs whose handler has answered, and that still have no receipt. */
  answered(): HeldJob[] {
    return this.#all().filter((job) => job.phase === 'answered');
  }

  /** All jobs whose handler runs. */
  running(): HeldJob[] {
    return this.#all().filter((job) => job.phase === 'running');
  }

  #all(): HeldJob[] {
    return [...this.#leases.values()].flatMap((lease) => [...lease.jobs.values()]);
  }

  /** The job needs nothing more: it has its receipt, or is not ours any more. */
  remove(job: HeldJob): void {
    job.phase = 'gone';
    const { jobs, token } = job.lease;
    jobs.delete(job.wire.id);
    if (jobs.size > 0) return;
    this.#leases.delete(token);
    if (this.#leases.size === 0) this.#onEmpty?.();
  }

  /**
   * Stops work on a job that is not ours any more. One that has answered stays until its receipt: its report may
   * have been committed before, and only the receipt knows.
   */
  abandon(job: HeldJob, reason: AbortReason): void {
    if (job.phase === 'answered' || job.phase === 'gone') return;
    this.remove(job);
    job.abort(reason);
  }

  /** Agrees with what the coordinator says of the leases that live on. Returns the jobs that were given up. */
  reconcile(welcome: Welcome): HeldJob[] {
    const resumed = new Map(welcome.resumed.map((lease: HeldLeaseMessage) => [lease.token, new Set(lease.jobIds)]));
    const stopped: HeldJob[] = [];
    for (const token of this.tokens()) {
      const unsettled = resumed.get(token);
      for (const job of this.jobsOf(token)) {
        if (unsettled?.has(job.wire.id) || job.phase === 'answered') continue;
        const reason =
          unsettled === undefined
            ? new LeaseLostError(`the lease ${leaseIdOf(token)} was lost while the worker was not connected`)
            : new JobCancelledError('the job was ended while the worker was not connected');
        this.abandon(job, reason);
        stopped.push(job);
      }
    }
    return stopped;
  }

  /** Resolves once nothing is held. */
  async empty(): Promise<void> {
    if (this.#leases.size === 0) return;
    await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }
}

/** The part of a token that may be shown: the rest proves the hold. */
export function leaseIdOf(token: string): string {
  return token.split('.', 1)[0]!;
}
