/** A worker in a process of its own, for tests that kill or freeze it: `lease_worker.ts OPTIONS` (JSON, lease_workers.ts). */
import { pino } from 'pino';
import { makeWorker, type EffectWorkerOptions } from './lease_workers.ts';

const options = JSON.parse(process.argv[2]!) as EffectWorkerOptions;
await makeWorker(options, { handleSignals: true, logger: pino(pino.destination({ sync: true })) }).run();
// A handler that goes on, whatever its signal says, would keep the process.
process.exit();
