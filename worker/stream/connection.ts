import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import { msFromDuration } from '../wire/duration.ts';
import { AddressRotation } from './address_rotation.ts';
import { reconnectBackoff } from './backoff.ts';
import type { Session } from './session.ts';

/** How long a coordinator may take to say welcome before the lease's time to live is known, in milliseconds. */
const firstWelcomeWaitMs = 5_000;

/** A hello refused with one of these will be refused everywhere: somebody must change something. */
const fatalCodes = new Set(['INVALID_ARGUMENT', 'UNIMPLEMENTED', 'PERMISSION_DENIED', 'UNAUTHENTICATED']);

const moveReasons = {
  drain: 'it is going away, or has more than its share of workers',
  silence: 'it does not answer',
  standing: 'it cannot reach its database',
};

export interface ConnectionOptions {
  addresses: readonly string[];
  logger: Logger;
  /** Each hello asks for a token anew: after one that is refused a good one may come. */
  tokenChanges: boolean;
  open: (address: string, welcomeWaitMs: number) => Session;
}

/**
 * Keeps one session alive, whatever happens to coordinators: reconnects at once to the next address when the stream
 * breaks, and moves before it breaks when the coordinator says that it is going away, or falls silent.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #rotation: AddressRotation;
  readonly #closing = new AbortController();
  #current: Session | undefined;
  #welcomeWaitMs = firstWelcomeWaitMs;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#rotation = new AddressRotation(options.addresses);
  }

  /** Resolves after close(). Rejects with a SkipleaseError when a hello is refused for good. */
  async run(): Promise<void> {
    try {
      while (!this.#closing.signal.aborted) {
        const session = await this.#connect();
        if (session !== undefined) await this.#keep(session);
      }
    } finally {
      this.#current?.cut();
    }
  }

  /** Half-closes the session, waits (bounded) until the coordinator has answered, and ends run(). */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#current?.close();
  }

  /** Tries addresses in turn until one says welcome. Undefined: closed meanwhile. */
  async #connect(): Promise<Session | undefined> {
    for (;;) {
      await pause(this.#rotation.waitMs(), this.#closing.signal);
      if (this.#closing.signal.aborted) return undefined;
      const session = await this.#try(this.#rotation.next());
      if (session !== undefined) return session;
    }
  }

  /** One try at one address. Undefined when it failed in a way that may pass. */
  async #try(address: string): Promise<Session | undefined> {
    const session = this.#options.open(address, this.#welcomeWaitMs);
    const giveUp = () => session.cut();
    this.#closing.signal.addEventListener('abort', giveUp, { once: true });
    const error = await session.opened;
    this.#closing.signal.removeEventListener('abort', giveUp);
    if (this.#closing.signal.aborted) return undefined;
    if (error === undefined) {
      this.#learnTimes(session);
      return session;
    }
    if (fatalCodes.has(error.code) && !(error.code === 'UNAUTHENTICATED' && this.#options.tokenChanges)) throw error;
    this.#rotation.failed();
    this.#options.logger.warn(
      { event: 'connect_failed', address, code: error.code, reason: error.reason, error: error.message },
      `cannot reach the coordinator at ${address}: ${error.message}`,
    );
    return undefined;
  }

  /** Waits stay well inside the lease's time to live, so that leases outlive a reconnect or two. */
  #learnTimes(session: Session): void {
    const leaseTtlMs = msFromDuration(session.welcome?.leaseTtl) ?? 0;
    if (leaseTtlMs <= 0) return;
    this.#rotation.waitMsMax = Math.min(reconnectBackoff.mostMs, leaseTtlMs / 3);
    this.#welcomeWaitMs = Math.min(firstWelcomeWaitMs, Math.max(1_000, leaseTtlMs / 3));
  }

  /** Stays with a session, and with those that it is moved to, until the last one has ended. */
  async #keep(first: Session): Promise<void> {
    let session = first;
    this.#current = session;
    for (;;) {
      await session.change();
      if (this.#closing.signal.aborted) await session.close();
      if (session.ended) break;
      const replacement = await this.#move(session);
      if (replacement !== undefined) {
        session = replacement;
        this.#current = session;
      }
    }
    this.#current = undefined;
    this.#rotation.failed(session.ageMs);
    if (!this.#closing.signal.aborted) this.#logEnd(session);
  }

  /** Opens a stream elsewhere while the old one still works. Undefined: the old one ended, or is well again. */
  async #move(old: Session): Promise<Session | undefined> {
    const why = moveReasons[old.moveReason!];
    this.#options.logger.info(
      { event: 'moving', address: old.address, reason: old.moveReason },
      `looking for another coordinator than ${old.address}: ${why}`,
    );
    const stop = AbortSignal.any([old.endSignal, this.#closing.signal]);
    this.#rotation.failed(old.ageMs);
    for (;;) {
      await pause(this.#rotation.waitMs(), stop);
      if (stop.aborted || old.moveReason === undefined) return undefined;
      old.park();
      const session = await this.#try(this.#rotation.next(old.address));
      if (session !== undefined) {
        old.retire();
        return session;
      }
      old.unpark();
    }
  }

  #logEnd(session: Session): void {
    const error = session.endError;
    const fields = { event: 'disconnected', address: session.address, code: error?.code ?? 'OK', reason: error?.reason };
    if (error?.reason === 'SESSION_REPLACED') {
      this.#options.logger.warn(fields, 'another stream with our instance_id has taken over; reconnecting');
    } else {
      this.#options.logger.warn(fields, `the stream to ${session.address} ended (${error?.message ?? 'OK'}); reconnecting`);
    }
  }
}

/** Waits, but no longer than the signal. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds <= 0 || signal.aborted) return;
  await delay(milliseconds, undefined, { signal }).catch(() => {});
}
