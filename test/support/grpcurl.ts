import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const VERSION = 'v1.9.4';
const MODULE = `github.com/fullstorydev/grpcurl/cmd/grpcurl@${VERSION}`;

/** Compiling it takes a minute on two idle cores, and twice that beside a running suite. */
const BUILD_DEADLINE_MS = 300_000;

/** What grpcurl answered. */
export interface GrpcurlResult {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * The path of a real grpcurl, built with `go install` into a cache folder the first time; undefined where there is
 * no Go. Of one version always, so that what the README shows is what it prints.
 */
export async function findGrpcurl(): Promise<string | undefined> {
  const folder = join(homedir(), '.cache', 'skiplease', `grpcurl-${VERSION}`);
  const binary = join(folder, 'grpcurl');
  if (await exists(binary)) return binary;
  if (!(await run('go', ['version']).then(() => true, () => false))) return undefined;
  const draft = `${folder}.${randomUUID()}`;
  try {
    await mkdir(draft, { recursive: true });
    await run('go', ['install', MODULE], { env: { ...process.env, GOBIN: draft }, timeout: BUILD_DEADLINE_MS });
    await rename(draft, folder).catch(async (error: unknown) => {
      // Another test file built it at the same time.
      if (!(await exists(binary))) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return binary;
}

/** Runs grpcurl without TLS; `input` is what it reads from standard input with `-d @`. */
export function grpcurl(binary: string, parameters: readonly string[], input = ''): Promise<GrpcurlResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(binary, ['-plaintext', ...parameters], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(new Error(`${binary} could not be run`, { cause: error }));
      else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(input);
  });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
