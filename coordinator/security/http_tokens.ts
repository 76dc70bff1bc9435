import type { Log } from '../observe/log.ts';
import { tokenHash } from './identities.ts';
import { WatchedFiles } from './watched_files.ts';

/** The tokens of the HTTP port: one a line of a file, so that one can be exchanged for another without a gap. */
export class HttpTokens {
  readonly #file: WatchedFiles<ReadonlySet<string>>;

  private constructor(file: WatchedFiles<ReadonlySet<string>>) {
    this.#file = file;
  }

  /** Rejects with FAILED_PRECONDITION when there is none in the file. */
  static async open(path: string, log: Log): Promise<HttpTokens> {
    return new HttpTokens(await WatchedFiles.open([path], ([file]) => {
      const tokens = file!.toString('utf8').split('\n').map((line) => line.trim()).filter((line) => line !== '');
      if (tokens.length === 0) {
        throw new Error('there is no token in it');
      }
      // By their hashes: how long it takes to refuse one tells nothing of those that are good.
      return new Set(tokens.map(tokenHash));
    }, log));
  }

  /** Whether an authorization header carries one of them. */
  accept(authorization: string | undefined): boolean {
    const token = /^bearer +(.+)$/i.exec(authorization ?? '')?.[1];
    return token !== undefined && this.#file.current.has(tokenHash(token));
  }

  close(): void {
    this.#file.close();
  }
}
