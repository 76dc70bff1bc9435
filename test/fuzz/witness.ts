import { readFile } from 'node:fs/promises';
import type { TestCoordinator } from '../support/coordinator.ts';

const LOOK_EACH_MS = 100;
const MEBIBYTE = 1_048_576;

/**
 * Watches the coordinator's process from outside: its end, what it logs as an error (or prints as no log line at all), and its
 * memory, where the system tells (Linux).
 */
export class Witness {
  /** The highest resident memory that was seen, in MiB; 0 where the system does not tell. */
  memoryMaxMiB = 0;
  #ended: number | undefined;
  #onProblem: (problem: string) => void;
  readonly #timer: NodeJS.Timeout;

  constructor(coordinator: TestCoordinator, onProblem: (problem: string) => void) {
    this.#onProblem = onProblem;
    coordinator.watch((line) => {
      if (!line.startsWith('{') || /"level":"(error|fatal)"/.test(line)) {
        this.#onProblem(`the coordinator says: ${line.slice(0, 2_000)}`);
      }
    });
    void coordinator.exited.then((code) => {
      this.#ended = code;
      this.#onProblem(`the coordinator ended, with code ${code}:\n${coordinator.logs.slice(-30).join('\n')}`);
    });
    this.#timer = setInterval(() => void this.#look(coordinator.pid), LOOK_EACH_MS).unref();
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** From now on nothing is a problem any more: its stop is wanted. */
  leave(): void {
    clearInterval(this.#timer);
    this.#onProblem = () => undefined;
  }

  async #look(pid: number): Promise<void> {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const kibibytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    this.memoryMaxMiB = Math.max(this.memoryMaxMiB, Math.ceil((kibibytes * 1_024) / MEBIBYTE));
  }
}
