import { Worker } from '../../../worker/index.ts';
import type { FleetMethods } from '../roles/methods.ts';
import { serve } from '../roles/serve.ts';
import { QUEUE, TYPE } from './preset.ts';

let fleet: { worker: Worker; ended: Promise<void> }[] = [];

/** Many idle workers in one process, each a session of its own, kept alive as the library does it. */
const methods: FleetMethods = {
  async open({ address, sessions }) {
    fleet = Array.from({ length: sessions }, () => {
      const worker = new Worker({
        addresses: [address],
        queues: [QUEUE],
        concurrency: 1,
        handlers: { [TYPE]: () => {} },
        handleSignals: false,
      });
      return { worker, ended: worker.run() };
    });
  },
  async close() {
    await Promise.all(fleet.map(({ worker }) => worker.stop()));
    await Promise.all(fleet.map(({ ended }) => ended));
  },
};
serve(methods);
