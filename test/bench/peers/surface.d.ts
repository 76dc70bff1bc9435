// The few members of the peers' libraries that the benchmark uses. Declared here because the peers are installed on
// demand: the project must type-check without them.

declare module 'graphile-worker' {
  import type { Pool } from 'pg';

  interface WorkerOptions {
    concurrentJobs: number;
    maxPoolSize: number;
    localQueue: { size: number };
    completeJobBatchDelay: number;
    failJobBatchDelay: number;
  }
  interface RunnerOptions {
    pgPool: Pool;
    preset?: { worker: WorkerOptions };
    taskList?: Record<string, (payload: unknown) => void>;
    noHandleSignals?: boolean;
    logger?: Logger;
  }
  interface JobSpec {
    identifier: string;
    payload: unknown;
  }
  interface Logger {
    error(message: string): void;
  }
  const Logger: new (factory: (scope: unknown) => (level: string, message: string) => void) => Logger;
  function run(options: RunnerOptions): Promise<{ stop(): Promise<void> }>;
  function makeWorkerUtils(options: { pgPool: Pool; logger?: Logger }): Promise<{
    migrate(): Promise<void>;
    addJob(identifier: string, payload: unknown): Promise<unknown>;
    addJobs(specs: JobSpec[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
}

declare module 'pg-boss' {
  interface Job {
    id: string;
    data: unknown;
  }
  class PgBoss {
    constructor(options: { connectionString: string; max: number });
    on(event: 'error', listener: (error: Error) => void): this;
    start(): Promise<this>;
    stop(options: { graceful: boolean; close: boolean }): Promise<void>;
    createQueue(name: string): Promise<void>;
    send(name: string, data: object): Promise<string | null>;
    insert(name: string, jobs: { data: object }[]): Promise<string[] | null>;
    fetch(name: string, options: { batchSize: number }): Promise<Job[]>;
    complete(name: string, ids: string[]): Promise<{ affected: number }>;
  }
}

declare module 'bullmq' {
  interface Connected {
    connection: { url: string };
  }
  class Queue {
    constructor(name: string, options: Connected);
    waitUntilReady(): Promise<unknown>;
    add(name: string, data: object): Promise<unknown>;
    addBulk(jobs: { name: string; data: object }[]): Promise<unknown>;
    getJobCounts(): Promise<Record<string, number>>;
    close(): Promise<void>;
  }
  class Worker {
    constructor(
      name: string,
      handler: (job: { data: unknown }) => Promise<void>,
      options: Connected & { concurrency: number },
    );
    on(event: 'completed', listener: () => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  }
}

declare module '@observablehq/plot' {
  interface Drawn {
    setAttribute(name: string, value: string): void;
    outerHTML: string;
  }
  interface Mark {
    plot(): Drawn;
  }
  type Channel<Datum> = string | number | ((datum: Datum, index: number) => unknown);
  function rect<Datum>(data: Datum[], options: Record<string, Channel<Datum>>): Mark;
  function ruleY<Datum>(data: Datum[], options: Record<string, Channel<Datum>>): Mark;
  function text<Datum>(data: Datum[], options: Record<string, Channel<Datum>>): Mark;
  function areaY<Datum>(data: Datum[], options: Record<string, Channel<Datum>>): Mark;
  function line<Datum>(data: Datum[], options: Record<string, Channel<Datum>>): Mark;
  function plot(options: Record<string, unknown> & { marks: Mark[] }): Drawn;
}

declare module 'linkedom' {
  function parseHTML(html: string): { document: unknown };
}
