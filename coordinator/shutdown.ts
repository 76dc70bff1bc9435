import { EmbeddedPostgresError } from './embedded/index.ts';
import { SkipleaseError } from './errors.ts';
import type { Log } from './observe/log.ts';

/** A stop that takes longer than this is given up: milliseconds. Longer than any deadline inside it. */
const STOP_MS_MAX = 720_000;
const SIGNAL_NUMBERS = { SIGTERM: 15, SIGINT: 2, SIGHUP: 1 } as const;

function reasonOf(error: unknown): { reason: string } | undefined {
  if (error instanceof SkipleaseError) {
    return { reason: error.reason };
  }
  return error instanceof EmbeddedPostgresError ? { reason: error.code } : undefined;
}

/** Thrown out of a start that a signal interrupted. */
class Interrupted extends Error {}

/**
 * What was started, and how each is stopped, the last first. The first signal stops in peace, at any moment of the start
 * too; the second ends the process at once.
 */
export class Shutdown {
  readonly #log: Log;
  readonly #exit: (code: number) => void;
  readonly #stops: { name: string; stop: () => Promise<void> }[] = [];
  #signalled = false;
  #started = false;
  #stopping: Promise<void> | undefined;

  constructor(log: Log, exit: (code: number) => void) {
    this.#log = log;
    this.#exit = exit;
  }

  /** Runs one step of the start, and remembers how to undo it. Throws when a signal came meanwhile. */
  async step<Result>(name: string, start: () => Promise<Result>, stop: (result: Result) => Promise<void>): Promise<Result> {
    this.#refuseWhenSignalled();
    const result = await start();
    this.#stops.push({ name, stop: () => stop(result) });
    this.#refuseWhenSignalled();
    return result;
  }

  /** The start is complete. */
  started(): void {
    this.#refuseWhenSignalled();
    this.#started = true;
  }

  signal(name: keyof typeof SIGNAL_NUMBERS): void {
    if (this.#signalled) {
      this.#log.warn({ event: 'exit_at_once', signal: name }, 'second signal: leaving at once');
      this.#exit(128 + SIGNAL_NUMBERS[name]);
      return;
    }
    this.#signalled = true;
    this.#log.info({ event: 'stopping', signal: name }, 'stopping; a second signal ends the process at once');
    if (this.#started) {
      void this.#stop(0);
    }
  }

  /** One clear line, what was started is stopped, exit 1; after a signal during the start, exit 0. */
  async afterFailure(error: unknown): Promise<void> {
    if (error instanceof Interrupted) {
      await this.#stop(0);
      return;
    }
    // What we foresaw says what to do; a stack would only bury it.
    this.#log.fatal({ event: 'start_failed', ...(reasonOf(error) ?? { err: error }) }, (error as Error).message);
    if (process.stderr.isTTY) {
      process.stderr.write(`\nSkiplease cannot start. ${(error as Error).message}\n`);
    }
    await this.#stop(1);
  }

  #stop(code: number): Promise<void> {
    this.#stopping ??= this.#stopAll(code);
    return this.#stopping;
  }

  async #stopAll(code: number): Promise<void> {
    setTimeout(() => this.#exit(1), STOP_MS_MAX).unref();
    let failed = false;
    for (const { name, stop } of this.#stops.reverse()) {
      try {
        await stop();
      } catch (error) {
        failed = true;
        this.#log.error({ event: 'stop_failed', what: name, err: error }, `${name} did not stop as it should`);
      }
    }
    this.#log.info({ event: 'stopped' }, 'stopped');
    this.#exit(failed ? 1 : code);
  }

  #refuseWhenSignalled(): void {
    if (this.#signalled) {
      throw new Interrupted('interrupted');
    }
  }
}
