import { ReceiptStatus, type Receipt } from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { Worker, type Job } from '../../../worker/index.ts';
import { Receipts } from '../../../worker/lease/receipts.ts';
import { monotonicMs } from '../measure/clock.ts';
import type { BenchPayload } from '../measure/payload.ts';
import type { Tally } from '../measure/tally.ts';
import { serveWorker } from '../roles/serve.ts';
import { queueNames, TYPE } from './preset.ts';

serveWorker(async ({ mode, fleet }, tally) => {
  countReceipts(tally);
  const { addresses, queues, windowJobs } = fleet!;
  let running: { worker: Worker; ended: Promise<void> }[] = [];
  const handle = (job: Job) => {
    const { n, t } = job.json<BenchPayload>();
    if (t !== undefined) tally.latenciesMs.push(monotonicMs() - t);
    tally.handled(n);
  };
  const startOne = (index: number) => {
    const worker = new Worker({
      addresses: [addresses[index % addresses.length]!],
      queues: queueNames(queues),
      window: { jobs: windowJobs },
      handleSignals: false,
      ...(mode === 'flood'
        ? { batchHandlers: { [TYPE]: (jobs: readonly Job[]) => jobs.forEach(handle) } }
        : { concurrency: windowJobs, handlers: { [TYPE]: handle } }),
    });
    return { worker, ended: worker.run() };
  };
  return {
    async start() {
      running = Array.from({ length: fleet!.workers }, (_, index) => startOne(index));
    },
    async stop() {
      await Promise.all(running.map(({ worker }) => worker.stop()));
      await Promise.all(running.map(({ ended }) => ended));
    },
  };
});

/**
 * A job is durably complete when its receipt says ACCEPTED. The library acts on receipts by itself and tells nobody of
 * those, so they are counted where it takes them in.
 */
function countReceipts(tally: Tally): void {
  // oxlint-disable-next-line typescript/unbound-method -- it is called with `this` below
  const apply = Receipts.prototype.apply;
  Receipts.prototype.apply = function (receipt: Receipt) {
    apply.call(this, receipt);
    tally.durable(receipt.jobs.filter(({ status }) => status === ReceiptStatus.ACCEPTED).length);
  };
}
