/** The demo's processes: one coordinator and the workers. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ChildError, startChild, type Child } from './child.ts';

const coordinatorScript = fileURLToPath(new URL('../../../coordinator/main.ts', import.meta.url));
const workerScript = fileURLToPath(new URL('../worker.ts', import.meta.url));

/** How long a dead worker's jobs wait for it. Short, so that their redelivery is seen soon. */
export const leaseTtlMs = 2_000;
/** A first start makes a database. */
const readyDeadlineMs = 90_000;
const connectDeadlineMs = 40_000;

export interface Coordinator {
  child: Child;
  grpcAddress: string;
  databaseUrl: string;
  /** In words, for people. */
  database: string;
}

/** A worker, with the label by which leases are told apart. */
export interface DemoWorker {
  id: string;
  child: Child;
}

/** Starts and ends processes. Whatever was started is ended by stopAll(), workers first. */
export class Fleet {
  /** Where the processes' logs and the embedded database are. */
  readonly folder: string;
  /** Tells our logs, and our queue, from those of another demo in the same folder, or on the same database. */
  readonly #mark = randomBytes(4).toString('hex');
  readonly #workers: DemoWorker[] = [];
  #coordinator: Coordinator | undefined;
  readonly #started: Child[] = [];
  #stopping = false;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Workers that have not been killed. */
  get workers(): readonly DemoWorker[] {
    return this.#workers;
  }

  /** Of this demo alone: what an earlier one left when it was broken off is not in the way. */
  get queue(): string {
    return `payments-demo-${this.#mark}`;
  }

  get coordinatorAddress(): string {
    return this.#coordinator!.grpcAddress;
  }

  async startCoordinator(): Promise<Coordinator> {
    const child = this.#start('coordinator', coordinatorScript, {
      SKIPLEASE_DATA_DIR: this.folder,
      SKIPLEASE_GRPC_ADDRESS: '127.0.0.1:0',
      SKIPLEASE_HTTP_ADDRESS: '127.0.0.1:0',
      SKIPLEASE_LEASE_TTL_MS: String(leaseTtlMs),
      SKIPLEASE_LOG_LEVEL: 'info',
    });
    const ready = await child.event('ready', readyDeadlineMs);
    this.#removeOldLogs();
    const embedded = ready['database_url_file'];
    this.#coordinator = {
      child,
      grpcAddress: ready['grpc_address']!,
      databaseUrl: embedded === undefined ? process.env['DATABASE_URL']! : readFileSync(embedded, 'utf8').trim(),
      database: embedded === undefined ? 'PostgreSQL at DATABASE_URL' : `embedded PostgreSQL in ${this.folder}`,
    };
    return this.#coordinator;
  }

  /** Resolves once the worker has a stream to the coordinator. */
  async startWorker(number: number, windowJobs: number): Promise<DemoWorker> {
    const { grpcAddress, databaseUrl } = this.#coordinator!;
    const id = `demo-${number}`;
    const child = this.#start(id, workerScript, {
      SKIPLEASE_ADDRESSES: grpcAddress,
      DATABASE_URL: databaseUrl,
      SKIPLEASE_WORKER_ID: id,
      SKIPLEASE_QUEUE: this.queue,
      SKIPLEASE_WINDOW_JOBS: String(windowJobs),
    });
    const worker = { id, child };
    this.#workers.push(worker);
    await child.event('connected', connectDeadlineMs);
    return worker;
  }

  /** SIGKILL, and resolves when the process is gone. */
  async kill(worker: DemoWorker): Promise<void> {
    this.#workers.splice(this.#workers.indexOf(worker), 1);
    worker.child.signal('SIGKILL');
    await worker.child.exited;
  }

  /** Throws ChildError when a process that should run has ended. */
  checkAlive(): void {
    this.#coordinator?.child.checkAlive();
    for (const { child } of this.#workers) child.checkAlive();
  }

  async stopAll(): Promise<void> {
    this.#stopping = true;
    const [workers, others] = [this.#started.slice(1), this.#started.slice(0, 1)];
    for (const child of workers) child.signal('SIGCONT');
    await Promise.all(workers.map((child) => child.stop()));
    await Promise.all(others.map((child) => child.stop()));
  }

  /** Once a coordinator has the folder it is ours, and the logs of earlier demos may go. */
  #removeOldLogs(): void {
    for (const file of readdirSync(this.folder)) {
      const [, mark] = /^(?:coordinator|demo-\d+)\.([0-9a-f]{8})\.log$/.exec(file) ?? [];
      if (mark !== undefined && mark !== this.#mark) rmSync(join(this.folder, file), { force: true });
    }
  }

  #start(name: string, script: string, environment: Record<string, string>): Child {
    if (this.#stopping) throw new ChildError(`${name} is not started any more: the demo ends.`);
    const child = startChild(name, script, environment, join(this.folder, `${name}.${this.#mark}.log`));
    this.#started.push(child);
    return child;
  }
}
