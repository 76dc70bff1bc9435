import { spawn, type SpawnOptions } from 'node:child_process';

/** A program ended badly; `stderr` is what it said. */
export class RunError extends Error {
  readonly stderr: string;

  constructor(message: string, stderr: string) {
    super(message);
    this.name = 'RunError';
    this.stderr = stderr.trim();
  }
}

/**
 * Runs a program to its end and answers what it printed. Unlike execFile it gives the program a process group of its
 * own: a Ctrl-C in the terminal is for the coordinator, and must not break off an initdb or make a probe fail.
 */
export function run(
  program: string,
  parameters: readonly string[],
  options: SpawnOptions & { deadlineMs?: number; input?: string } = {},
): Promise<string> {
  const { deadlineMs = 30_000, input = '', ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { ...spawnOptions, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A program that ends without reading its input is told by its exit code, not by this pipe.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    // Not spawn's own timeout: that one is never cleared for a program that could not even be started, and would keep
    // our process from ending.
    const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(deadline);
      if (code === 0) resolve(stdout);
      else reject(new RunError(`${program} ended with ${signal ?? `exit code ${code}`}`, stderr || stdout));
    });
  });
}
