import { ReceiptStatus, type Receipt } from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { Worker, type Job } from '../../../worker/index.ts';
import { Receipts } from '../../../worker/lease/receipts.ts';
import { monotonicMs } from '../measure/clock.ts';
import type { BenchPayload } from '../measure/payload.ts';
import type { Tally } from '../measure/tally.ts';
import { serveWorker } from '../roles/serve.ts';
import { QUEUE, TYPE, WINDOW_JOBS } from './preset.ts';

serveWorker(async ({ address, mode }, tally) => {
  countReceipts(tally);
  let worker: Worker | undefined;
  let running: Promise<void> | undefined;
  const handle = (job: Job) => {
    const { n, t } = job.json<BenchPayload>();
    if (t !== undefined) tally.latenciesMs.push(monotonicMs() - t);
    tally.handled(n);
  };
  return {
    async start() {
      worker = new Worker({
        addresses: [address!],
        queues: [QUEUE],
        window: { jobs: WINDOW_JOBS[mode] },
        handleSignals: false,
        ...(mode === 'flood'
          ? { batchHandlers: { [TYPE]: (jobs: readonly Job[]) => jobs.forEach(handle) } }
          : { concurrency: WINDOW_JOBS.trickle, handlers: { [TYPE]: handle } }),
      });
      running = worker.run();
    },
    async stop() {
      await worker?.stop();
      await running;
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
