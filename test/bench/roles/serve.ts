import { monotonicMs } from '../measure/clock.ts';
import { Tally } from '../measure/tally.ts';
import type {
  CommonMethods,
  Connection,
  FloodOrder,
  SubmitterMethods,
  TrickleOrder,
  WorkerMethods,
} from './methods.ts';

/** A contestant's submitting half, as its own library does it. */
export interface Submitter {
  /** Resolves when all are committed. */
  submit(order: FloodOrder): Promise<void>;
  /** Submits one job; resolves when it is committed. */
  submitOne(number: number, payloadBytes: number, submittedMs: number): Promise<void>;
  close(): Promise<void>;
}

/** A contestant's working half: calls the tally from its handlers and when it knows completions to be committed. */
export interface WorkerHalf {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Makes this process a submitter that the harness drives. */
export function serveSubmitter(open: (connection: Connection) => Promise<Submitter>): void {
  let submitter: Submitter | undefined;
  const opened = () => submitter ?? raise('open comes first');
  const methods: SubmitterMethods = {
    async open(connection) {
      submitter = await open(connection);
    },
    async submit(order) {
      const startMs = monotonicMs();
      await opened().submit(order);
      return { startMs, endMs: monotonicMs() };
    },
    async trickle(order) {
      const startMs = monotonicMs();
      await trickle(opened(), order);
      return { startMs, endMs: monotonicMs() };
    },
    async close() {
      await opened().close();
    },
  };
  serve(methods);
}

/** Makes this process a worker that the harness drives. */
export function serveWorker(open: (connection: Connection, tally: Tally) => Promise<WorkerHalf>): void {
  const tally = new Tally();
  let worker: WorkerHalf | undefined;
  const opened = () => worker ?? raise('open comes first');
  const methods: WorkerMethods = {
    async open(connection) {
      worker = await open(connection, tally);
    },
    async expect({ first, count }) {
      tally.expect(first, count);
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
    close: async () => {},
  };
  serve(methods);
}

/** Answers the harness's calls over the channel that it opened. Ends when the harness is gone. */
export function serve(methods: object): void {
  const common: CommonMethods = {
    async cpuMs() {
      const usage = process.cpuUsage();
      return (usage.user + usage.system) / 1000;
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

/** One job each interval, none waiting for the one before; resolves when all are committed. */
async function trickle(submitter: Submitter, order: TrickleOrder): Promise<void> {
  const answers: Promise<void>[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let number = order.first;
  const timer = setInterval(() => {
    answers.push(submitter.submitOne(number, order.payloadBytes, monotonicMs()));
    number += 1;
    if (number === order.first + order.count) {
      clearInterval(timer);
      resolve();
    }
  }, order.intervalMs);
  await promise;
  await Promise.all(answers);
}

function raise(message: string): never {
  throw new Error(message);
}
