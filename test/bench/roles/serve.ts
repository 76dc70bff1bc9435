import { monotonicMs } from '../measure/clock.ts';
import { socketBytes, watchSockets } from '../measure/sockets.ts';
import { Tally } from '../measure/tally.ts';
import type {
  CommonMethods,
  Connection,
  FloodOrder,
  PacedOrder,
  SubmitterMethods,
  WorkerMethods,
} from './methods.ts';

// In time for every connection: none is opened before the harness calls `open`.
watchSockets();

/** A contestant's submitting half, as its own library does it. */
export interface Submitter {
  /** Resolves when all are committed. */
  submit(order: FloodOrder): Promise<void>;
  /** Submits one job; resolves when it is committed. Left out by those that take no part in a trickle. */
  submitOne?(number: number, payloadBytes: number, submittedMs: number): Promise<void>;
  /** Submits several by one call. Left out by those that no scenario asks for it. */
  submitTogether?(numbers: number[], payloadBytes: number, submittedMs: number): Promise<void>;
  close(): Promise<void>;
}

/** A contestant's working half: calls the tally from its handlers and when it knows completions to be committed. */
export interface WorkerHalf {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Makes this process a submitter that the harness drives. */
export function serveSubmitter(open: (connection: Connection) => Promise<Submitter>): void {
  serve(submitterMethods(open));
}

/** Makes this process a worker that the harness drives. */
export function serveWorker(open: (connection: Connection, tally: Tally) => Promise<WorkerHalf>): void {
  serve(workerMethods(open));
}

/** Makes this process both at once. */
export function serveBoth(
  openSubmitter: (connection: Connection) => Promise<Submitter>,
  openWorker: (connection: Connection, tally: Tally) => Promise<WorkerHalf>,
): void {
  const [submitter, worker] = [submitterMethods(openSubmitter), workerMethods(openWorker)];
  const open = async (connection: Connection) => {
    await submitter.open(connection);
    await worker.open(connection);
  };
  serve({ ...worker, ...submitter, open });
}

function submitterMethods(open: (connection: Connection) => Promise<Submitter>): SubmitterMethods {
  let submitter: Submitter | undefined;
  const opened = () => submitter ?? raise('open comes first');
  return {
    async open(connection) {
      submitter = await open(connection);
    },
    async submit(order) {
      const startMs = monotonicMs();
      await opened().submit(order);
      return { startMs, endMs: monotonicMs() };
    },
    async paced(order) {
      const startMs = monotonicMs();
      await paced(opened(), order);
      return { startMs, endMs: monotonicMs() };
    },
    async close() {
      await opened().close();
    },
  };
}

function workerMethods(open: (connection: Connection, tally: Tally) => Promise<WorkerHalf>): WorkerMethods {
  const tally = new Tally();
  let worker: WorkerHalf | undefined;
  const opened = () => worker ?? raise('open comes first');
  return {
    async open(connection) {
      worker = await open(connection, tally);
    },
    async expect({ first, count, enough }) {
      tally.expect(first, count, enough);
    },
    async expectMore({ first, count, enough }) {
      tally.expectMore(first, count, enough);
    },
    async start() {
      const startMs = monotonicMs();
      await opened().start();
      return startMs;
    },
    stop: () => opened().stop(),
    finished: ({ deadlineMs }) => tally.finished(deadlineMs),
    delivery: async () => tally.delivery,
    latenciesMs: async () => tally.latenciesMs,
  };
}

/** Answers the harness's calls over the channel that it opened. Ends when the harness is gone. */
export function serve(methods: object): void {
  const common: CommonMethods = {
    async usage() {
      const { user, system } = process.cpuUsage();
      return { cpuMs: (user + system) / 1000, ...socketBytes() };
    },
  };
  const table = { ...methods, ...common } as unknown as Record<string, (argument: unknown) => Promise<unknown>>;
  process.on('message', (call: { id: number; method: string; argument: unknown }) => {
    void table[call.method]!(call.argument).then(
      (result) => process.send!({ id: call.id, result }),
      (error: unknown) => process.send!({ id: call.id, error: error instanceof Error ? error.stack : String(error) }),
    );
  });
  // Ctrl-C reaches the whole process group: the harness stops its roles in order, by closing the channel at the end.
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit(0));
}

/** So many jobs each interval, none waiting for those before; resolves when all are committed. */
async function paced(submitter: Submitter, { first, count, payloadBytes, intervalMs, together }: PacedOrder): Promise<void> {
  const answers: Promise<void>[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = first + count;
  let next = first;
  const submitSome = () => {
    const start = next;
    next = Math.min(end, start + together);
    if (together === 1) return submitter.submitOne!(start, payloadBytes, monotonicMs());
    const numbers = Array.from({ length: next - start }, (_, index) => start + index);
    return submitter.submitTogether!(numbers, payloadBytes, monotonicMs());
  };
  const timer = setInterval(() => {
    answers.push(submitSome());
    if (next < end) return;
    clearInterval(timer);
    resolve();
  }, intervalMs);
  await promise;
  await Promise.all(answers);
}

function raise(message: string): never {
  throw new Error(message);
}
