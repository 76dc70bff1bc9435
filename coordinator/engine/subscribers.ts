import type { Session } from './session.ts';

/** Which sessions serve which queue, taken in turn. */
export class Subscribers {
  readonly #byQueue = new Map<string, { sessions: Session[]; next: number }>();

  add(session: Session): void {
    for (const name of session.queues.keys()) {
      const entry = this.#byQueue.get(name) ?? { sessions: [], next: 0 };
      entry.sessions.push(session);
      this.#byQueue.set(name, entry);
    }
  }

  remove(session: Session): void {
    for (const name of session.queues.keys()) {
      const entry = this.#byQueue.get(name);
      const index = entry?.sessions.indexOf(session) ?? -1;
      if (entry !== undefined && index >= 0) {
        entry.sessions.splice(index, 1);
        if (entry.sessions.length === 0) {
          this.#byQueue.delete(name);
        }
      }
    }
  }

  has(queueName: string): boolean {
    return this.#byQueue.has(queueName);
  }

  /** The sessions of a queue, beginning after the one that was served last; each that is visited has had its turn. */
  *inTurn(queueName: string): Generator<Session> {
    const entry = this.#byQueue.get(queueName);
    if (entry === undefined) {
      return;
    }
    const { length } = entry.sessions;
    for (let count = 0; count < length; count += 1) {
      entry.next = (entry.next + 1) % length;
      yield entry.sessions[entry.next]!;
    }
  }
}
