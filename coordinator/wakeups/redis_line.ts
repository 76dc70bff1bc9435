import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@redis/client';
import type { Log } from '../observe/log.ts';
import type { Line } from './line.ts';

/** A start waits for Redis no longer than this: milliseconds. */
const FIRST_WAIT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;
/** A server that says nothing for this long is given up; pings see to it that a healthy one says something. */
const SILENCE_MS_MAX = 5_000;
const PING_MS = 2_000;
/** Hints that wait for a server which does not answer: more are refused. */
const WAITING_MAX = 1_000;

/**
 * Pub/sub of Redis 6 or newer (or Valkey), on one connection. While Redis is away hints are lost, nobody waits for it, and
 * it is tried again in the background for as long as it takes; the log says so once.
 */
export class RedisLine implements Line {
  readonly reachesOthers = true;
  readonly #client: ReturnType<typeof createClient>;
  readonly #channel: string;
  readonly #log: Pick<Log, 'info' | 'warn'>;
  readonly #received: (payload: string) => void;
  readonly #listening: () => void;
  #first: Promise<void> | undefined;
  #subscribed = false;
  #away = false;

  /** The channel is this database's own: others may share the Redis. */
  constructor(deps: { url: string; channel: string; log: Pick<Log, 'info' | 'warn'> }, received: (payload: string) => void, listening: () => void) {
    this.#channel = deps.channel;
    this.#log = deps.log;
    this.#received = received;
    this.#listening = listening;
    this.#client = createClient({
      url: deps.url,
      name: 'skiplease',
      disableOfflineQueue: true,
      commandsQueueMaxLength: WAITING_MAX,
      pingInterval: PING_MS,
      maintNotifications: 'disabled',
      socket: { connectTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_MS_MAX, reconnectStrategy: reconnectMs },
    });
    this.#client.on('error', (error: Error) => this.#lost(error));
  }

  listen(): Promise<void> {
    this.#first ??= this.#connect();
    return this.#first;
  }

  async send(payload: string): Promise<void> {
    await this.#client.publish(this.#channel, payload);
  }

  close(): Promise<void> {
    if (this.#client.isOpen) {
      this.#client.destroy();
    }
    return Promise.resolve();
  }

  /** Resolves once it listens; where that takes longer, it goes on by itself. */
  #connect(): Promise<void> {
    const listens = new Promise<void>((resolve) => {
      this.#client.on('ready', () => void this.#subscribe().then(resolve, (error: Error) => this.#lost(error)));
    });
    // It ends with an error only when it is closed.
    void this.#client.connect().catch(() => {});
    return Promise.race([listens, delay(FIRST_WAIT_MS, undefined, { ref: false })]);
  }

  async #subscribe(): Promise<void> {
    // After the first time the client does it by itself, before it is ready again.
    if (!this.#subscribed) {
      await this.#client.subscribe(this.#channel, this.#received);
      this.#subscribed = true;
    }
    if (this.#away) {
      this.#away = false;
      this.#log.info({ event: 'redis_back' }, 'Redis is back: coordinators wake each other again');
    }
    this.#listening();
  }

  /** Said once, not at each try. */
  #lost(error: Error): void {
    if (!this.#away) {
      this.#away = true;
      this.#log.warn({ event: 'redis_away', err: error }, 'Redis cannot be reached: coordinators find work by looking for it, until it is back');
    }
  }
}

function reconnectMs(retries: number): number {
  return Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(retries, 10)) * (0.5 + Math.random() / 2);
}
