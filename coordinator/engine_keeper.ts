import { setTimeout as delay } from 'node:timers/promises';
import type { RunningEngine } from './engine/running_engine.ts';
import type { Log } from './observe/log.ts';

/** Between two tries to start over, while the database cannot be had: milliseconds. */
const RETRY_MS = 500;

export interface EngineKeeperOptions {
  /** Starts an engine from what the database has. `replaced` is called whenever it finds the database in another history. */
  start(replaced: () => void): Promise<RunningEngine>;
  /** Lets callers in to this engine. */
  open(engine: RunningEngine): void;
  /** Keeps callers out. */
  close(): void;
  log: Log;
}

/**
 * Keeps an engine running. When the database goes on in another history (a standby took over, a backup was restored:
 * store/history.ts) nothing that an engine remembers can be relied on. It is let go, and another one starts from what is there:
 * as after a kill of the process, but on the same ports.
 */
export class EngineKeeper {
  readonly #options: EngineKeeperOptions;
  #engine: RunningEngine | undefined;
  #startingOver: Promise<void> | undefined;
  #stopping = false;

  constructor(options: EngineKeeperOptions) {
    this.#options = options;
  }

  /** Undefined while it starts over. */
  get engine(): RunningEngine | undefined {
    return this.#engine;
  }

  /** Rejects when the engine cannot be started. */
  async start(): Promise<RunningEngine> {
    const engine = await this.#options.start(() => this.#replaced());
    this.#engine = engine;
    this.#options.open(engine);
    return engine;
  }

  /** Whoever calls while it drains is served; then callers are kept out, before what stands behind them goes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#startingOver;
    await this.#engine?.stop();
    this.#options.close();
  }

  #replaced(): void {
    if (this.#engine !== undefined && !this.#stopping) {
      this.#startingOver ??= this.#startOver(this.#engine).finally(() => {
        this.#startingOver = undefined;
      });
    }
  }

  async #startOver(engine: RunningEngine): Promise<void> {
    const { log } = this.#options;
    log.warn({ event: 'database_replaced' }, 'the database was replaced by a standby, or restored: starting over from what it has');
    this.#engine = undefined;
    this.#options.close();
    await engine.abandon().catch((error: Error) => log.error({ event: 'stop_failed', err: error }, 'the engine did not stop as it should'));
    while (!this.#stopping) {
      try {
        const { coordinatorId } = await this.start();
        log.info({ event: 'started_over', coordinator_id: coordinatorId }, 'started over');
        return;
      } catch (error) {
        log.warn({ event: 'start_over_failed', err: error }, 'cannot start over yet; it is tried again');
        await delay(RETRY_MS);
      }
    }
  }
}
