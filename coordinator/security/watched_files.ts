import { readFile } from 'node:fs/promises';
import { SkipleaseError } from '../errors.ts';
import type { Log } from '../observe/log.ts';

/** How often the files are read: a certificate, a key, a list of some names. Mounted secrets are exchanged by links, which a watch would miss. */
const LOOK_MS = 1_000;

/** Files that may change while the process runs, and what was made of them. */
export class WatchedFiles<Content> {
  readonly #paths: readonly string[];
  readonly #parse: (files: Buffer[]) => Content | Promise<Content>;
  readonly #log: Log;
  readonly #listeners = new Set<() => void>();
  #current: Content;
  #seen: Buffer[];
  #timer: NodeJS.Timeout | undefined;
  #unreadable = false;

  private constructor(paths: readonly string[], parse: (files: Buffer[]) => Content | Promise<Content>, log: Log, seen: Buffer[], current: Content) {
    this.#paths = paths;
    this.#parse = parse;
    this.#log = log;
    this.#seen = seen;
    this.#current = current;
    this.#lookLater();
  }

  /** `parse` throws where the files make no sense (together). Rejects with FAILED_PRECONDITION when they cannot be used now. */
  static async open<Content>(
    paths: readonly string[], parse: (files: Buffer[]) => Content | Promise<Content>, log: Log,
  ): Promise<WatchedFiles<Content>> {
    try {
      const files = await readAll(paths);
      return new WatchedFiles(paths, parse, log, files, await parse(files));
    } catch (error) {
      throw new SkipleaseError('FAILED_PRECONDITION', 'FILE_UNUSABLE', `${paths.join(', ')} cannot be used: ${(error as Error).message}`);
    }
  }

  get current(): Content {
    return this.#current;
  }

  /** Called after each change that made sense. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      void this.#look().finally(() => this.#timer !== undefined && this.#lookLater());
    }, LOOK_MS).unref();
  }

  /** What makes no sense is told once, and what was good before stays: files that belong together change one after the other. */
  async #look(): Promise<void> {
    try {
      const files = await readAll(this.#paths);
      this.#unreadable = false;
      if (files.every((file, index) => file.equals(this.#seen[index]!))) {
        return;
      }
      this.#seen = files;
      this.#current = await this.#parse(files);
    } catch (error) {
      if (!this.#unreadable) {
        this.#log.error({ event: 'reload_failed', files: this.#paths, err: error }, 'files that have changed cannot be used; what they held before stays');
      }
      this.#unreadable = 'code' in (error as Error);
      return;
    }
    this.#log.info({ event: 'reloaded', files: this.#paths }, 'files have changed, and are used as they are now');
    this.#listeners.forEach((listener) => listener());
  }
}

function readAll(paths: readonly string[]): Promise<Buffer[]> {
  return Promise.all(paths.map((path) => readFile(path)));
}
