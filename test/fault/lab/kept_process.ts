import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProcess } from '../../support/processes.ts';
import type { History } from '../history/history.ts';

/** From an end to the next start. */
const PAUSE_MS = 300;

/** How long a process may take to end in peace when the lab stops. */
const STOP_DEADLINE_MS = 30_000;

/** Starts one more incarnation, and resolves once that one is ready for use. */
export type Start = (incarnation: number, environment: Readonly<Record<string, string>>) => Promise<TestProcess>;

export interface KeptProcessOptions {
  name: string;
  /** The lab's own history: starts and ends are told there. */
  history: History;
  logFolder: string;
  start: Start;
}

/** A program that is started again each time it has ended, however that came about, until stop(). */
export class KeptProcess {
  readonly name: string;
  /** Laid over the environment of the next incarnations. */
  environment: Record<string, string> = {};
  /** Counts starts, from 1. */
  incarnation = 0;
  readonly #options: KeptProcessOptions;
  #current: TestProcess | undefined;
  #signalled: NodeJS.Signals[] = [];
  #stopping = false;
  #keeping: Promise<void> | undefined;

  constructor(options: KeptProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Resolves once it is ready for the first time. Rejects when it does not get there. */
  async start(): Promise<void> {
    const first = await this.#next();
    this.#keeping = this.#keep(first);
  }

  /** undefined: it is between an end and being ready again. */
  get pid(): number | undefined {
    return this.#current?.pid;
  }

  /** False when there is nobody to signal just now, or nobody who has not been asked to end before: asked twice, they hurry. */
  kill(signal: NodeJS.Signals): boolean {
    if (this.#current === undefined || (signal === 'SIGTERM' && this.#signalled.includes(signal))) return false;
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') this.#signalled.push(signal);
    this.#options.history.write({ event: 'signal', process: this.name, incarnation: this.incarnation, signal });
    this.#current.kill(signal);
    return true;
  }

  /** Ends it in peace (SIGTERM; past a deadline SIGKILL), and for good. */
  async stop(deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    this.#stopping = true;
    const timer = setTimeout(() => this.kill('SIGKILL'), deadlineMs);
    this.kill('SIGCONT');
    this.kill('SIGTERM');
    await this.#keeping;
    clearTimeout(timer);
  }

  async #next(): Promise<TestProcess> {
    this.incarnation += 1;
    this.#signalled = [];
    const running = await this.#options.start(this.incarnation, this.environment);
    this.#options.history.write({ event: 'up', process: this.name, incarnation: this.incarnation, pid: running.pid });
    this.#current = running;
    return running;
  }

  async #keep(first: TestProcess): Promise<void> {
    let running: TestProcess | undefined = first;
    while (running !== undefined) {
      const code: number = await running.exited;
      this.#current = undefined;
      const { name, incarnation } = this;
      const log = join(this.#options.logFolder, `${name}.${incarnation}.log`);
      await writeFile(log, `${running.logs.join('\n')}\n`);
      this.#options.history.write({ event: 'ended', process: name, incarnation, code, signalled: this.#signalled });
      running = await this.#again();
    }
  }

  /** Tries until it is up again: what it needs to start may be away. */
  async #again(): Promise<TestProcess | undefined> {
    while (!this.#stopping) {
      await delay(PAUSE_MS);
      try {
        const running = await this.#next();
        if (this.#stopping) this.kill('SIGTERM');
        return running;
      } catch (error) {
        this.#options.history.write({ event: 'not up', process: this.name, incarnation: this.incarnation, error: String(error).slice(0, 2_000) });
      }
    }
    return undefined;
  }
}
