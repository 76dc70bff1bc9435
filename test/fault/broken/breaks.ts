/** One text of one file that is replaced by another. */
export interface Edit {
  file: string;
  /** Stands there exactly once. */
  from: string;
  to: string;
}

/** A mistake that somebody could make, and what must find it. */
export interface Break {
  name: string;
  /** What is wrong then, for people. */
  does: string;
  edits: readonly Edit[];
}

/** Each takes away what keeps one promise. */
export const BREAKS: readonly Break[] = [
  {
    name: 'no-fence',
    does: 'a report counts for the lease that it names, whatever secret it has',
    edits: [{ file: 'coordinator/engine/decide.ts', from: 'return proof.secret === lease.secret && (', to: 'return (' }],
  },
  {
    name: 'early-receipt',
    does: 'a report is answered before it is committed',
    edits: [
      {
        file: 'coordinator/engine/settler.ts',
        from: '    const started = this.#clock.nowMs();\n    let accepted: Set<string> | undefined;\n',
        to: '    const started = this.#clock.nowMs();\n    let accepted: Set<string> | undefined;\n    parts.forEach((part) => this.#answer(part, undefined));\n',
      },
      { file: 'coordinator/engine/settler.ts', from: '    parts.forEach((part) => this.#answer(part, accepted));\n', to: '' },
    ],
  },
  {
    name: 'impatient-reaper',
    does: 'sessions are given up long before they have been silent for the time to live',
    edits: [{ file: 'coordinator/engine/reaper.ts', from: 'this.#sessions.silent(this.#ttlMs)', to: 'this.#sessions.silent(this.#ttlMs / 4)' },
      { file: 'coordinator/engine/reaper.ts', from: 'this.#sessions.giveUp(silent, this.#ttlMs)', to: 'this.#sessions.giveUp(silent, this.#ttlMs / 4)' }],
  },
  {
    name: 'trusting-resume',
    does: 'who says hello is given each lease that it names by its number',
    edits: [
      { file: 'coordinator/store/sessions.ts', from: 'where id = i.id and secret = i.secret\n', to: 'where id = i.id\n' },
      { file: 'coordinator/engine/hellos.ts', from: 'lease === undefined || lease.secret !== token!.secret || lease.settled.full', to: 'lease === undefined || lease.settled.full' },
    ],
  },
  {
    name: 'no-window-at-hand-off',
    does: 'a submit goes straight to a worker that waits, and to one that has no room',
    edits: [
      { file: 'coordinator/engine/hand_off.ts', from: 'if (session.roomJobs(queue.id, queue.name, nowMs) > 0) {', to: 'if (session.port !== undefined) {' },
      {
        file: 'coordinator/engine/hand_off.ts',
        from: 'Math.min(share, session.roomJobs(queue.id, queue.name, nowMs), queue.leaseJobsMax, LEASE_JOBS_MAX)',
        to: 'Math.min(share, queue.leaseJobsMax, LEASE_JOBS_MAX)',
      },
    ],
  },
];
