import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { CommonMethods, Usage } from './methods.ts';

/** How long a role may take to end by itself after its channel is closed. */
const EXIT_DEADLINE_MS = 5_000;

type Method = (argument: never) => Promise<unknown>;

/** A role in a process of its own, called over the channel between parent and child. */
export class RoleProcess<Methods extends object> {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;

  /** Starts `module` (a `.ts` path). `environment` is added to this process's own. */
  constructor(name: string, module: string, environment: Record<string, string> = {}) {
    this.name = name;
    this.#child = fork(module, [], {
      env: { ...process.env, ...environment },
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (answer: { id: number; result?: unknown; error?: string }) => {
      const call = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if (answer.error === undefined) call?.resolve(answer.result);
      else call?.reject(new Error(`${this.name}: ${answer.error}`));
    });
    this.#child.on('exit', (code, signal) => {
      for (const call of this.#pending.values()) {
        call.reject(new Error(`${this.name} ended (${signal ?? `exit ${code}`}) with a call outstanding`));
      }
      this.#pending.clear();
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What the process has used so far, as it counts it itself. */
  usage(): Promise<Usage> {
    return this.#send('usage', undefined) as Promise<Usage>;
  }

  /** Calls a method in the other process. Rejects with its error, or when the process ends first. */
  call<Name extends string & keyof (Methods & CommonMethods)>(
    method: Name,
    ...[argument]: Parameters<Extract<(Methods & CommonMethods)[Name], Method>>
  ): ReturnType<Extract<(Methods & CommonMethods)[Name], Method>> {
    return this.#send(method, argument) as ReturnType<Extract<(Methods & CommonMethods)[Name], Method>>;
  }

  #send(method: string, argument: unknown): Promise<unknown> {
    const id = (this.#nextId += 1);
    const call = Promise.withResolvers<unknown>();
    this.#pending.set(id, call);
    this.#child.send({ id, method, argument }, (error) => {
      if (error) call.reject(error);
    });
    return call.promise;
  }

  /** Closes the channel, upon which the role ends; kills it if it does not. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_DEADLINE_MS);
    if (this.#child.connected) this.#child.disconnect();
    await exited;
    clearTimeout(timer);
  }
}
