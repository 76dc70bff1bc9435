import { CancelReason } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { Worker } from '../../worker/index.ts';
import type { Handler, Logger, WorkerOptions } from '../../worker/index.ts';
import { waitFor } from '../support/wait.ts';
import { ScriptedCoordinator } from './worker_scripted_coordinator.ts';
import type { ScriptedStream } from './worker_scripted_coordinator.ts';

/** Keeps what was logged. */
export class KeptLog implements Logger {
  readonly lines: { level: string; event: string | undefined; fields: Record<string, unknown>; message: string }[] = [];

  debug(fields: object, message: string): void {
    this.#keep('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#keep('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#keep('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#keep('error', fields, message);
  }

  events(event: string): KeptLog['lines'] {
    return this.lines.filter((line) => line.event === event);
  }

  #keep(level: string, fields: object, message: string): void {
    this.lines.push({ level, event: (fields as { event?: string }).event, fields: { ...fields }, message });
  }
}

/** A worker of scripted coordinators, without signals and without patience. */
export function makeWorker(coordinators: readonly ScriptedCoordinator[], options: Partial<WorkerOptions>): Worker {
  return new Worker({
    addresses: coordinators.map(({ address }) => address),
    queues: ['queue'],
    logger: new KeptLog(),
    handleSignals: false,
    drainDeadlineMs: 5_000,
    timeoutGraceMs: 20,
    ...options,
  });
}

/** A worker that is connected, the other side of its stream, and how to stop it. */
export async function connected(
  t: { teardown(undo: () => unknown): void },
  options: Partial<WorkerOptions>,
  welcome: Parameters<ScriptedStream['welcome']>[0] = {},
): Promise<{ stream: ScriptedStream; stop: () => Promise<void> }> {
  const coordinator = await ScriptedCoordinator.start();
  t.teardown(() => coordinator.close());
  const worker = makeWorker([coordinator], options);
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.welcome(welcome);
  return {
    stream,
    stop: async () => {
      await worker.stop();
      await running;
    },
  };
}

/** A handler whose jobs end when the test says so. */
export class Gate {
  readonly started: string[] = [];
  readonly signals = new Map<string, AbortSignal>();
  readonly #ends = new Map<string, () => void>();

  readonly handler: Handler = async (job, context) => {
    this.started.push(job.id);
    this.signals.set(job.id, context.signal);
    await new Promise<void>((resolve) => this.#ends.set(job.id, resolve));
    return { done: job.id };
  };

  /** Lets these jobs end; none named: all that have started. */
  open(...jobIds: string[]): void {
    for (const id of jobIds.length > 0 ? jobIds : this.#ends.keys()) this.#ends.get(id)?.();
  }
}

/** Cancels the running job `mark` and waits until its handler knows: whatever was said before it has arrived too. */
export async function everythingHasArrived(stream: ScriptedStream, gate: Gate, token: string): Promise<void> {
  stream.say({ $case: 'cancel', value: { token, jobIds: ['mark'], reason: CancelReason.JOB_CANCELLED, message: '' } });
  await waitFor(() => gate.signals.get('mark')!.aborted, { deadlineMs: 10_000, what: 'the mark to arrive' });
}
