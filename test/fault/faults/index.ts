import type { Fault } from '../fault.ts';
import { crashDatabase } from './crash_database.ts';
import { cutDatabaseLink, cutWorkerLink } from './cut_link.ts';
import { delayDatabaseLink, delayWorkerLink } from './delay_link.ts';
import { failOver } from './fail_over.ts';
import { freezeCoordinator, freezeWorker } from './freeze_process.ts';
import { halfOpenDatabaseLink, halfOpenWorkerLink } from './half_open_link.ts';
import { killConnections } from './kill_connections.ts';
import { killCoordinator, killWorker } from './kill_process.ts';
import { lockTable } from './lock_table.ts';
import { readOnly } from './read_only.ts';
import { restartDatabase } from './restart_database.ts';
import { rollingRestart } from './rolling_restart.ts';
import { slowReader } from './slow_reader.ts';
import { stopCoordinator, stopWorker } from './stop_process.ts';
import { trickleDatabaseLink, trickleWorkerLink } from './trickle_link.ts';
import { wrongClocks } from './wrong_clock.ts';

/** Every fault there is, by the order of the README. */
export const FAULTS: readonly Fault[] = [
  killCoordinator, killWorker,
  freezeCoordinator, freezeWorker,
  stopCoordinator, stopWorker,
  rollingRestart,
  crashDatabase, restartDatabase, failOver, readOnly, killConnections, lockTable,
  cutWorkerLink, cutDatabaseLink,
  delayWorkerLink, delayDatabaseLink,
  trickleWorkerLink, trickleDatabaseLink,
  halfOpenWorkerLink, halfOpenDatabaseLink,
  slowReader,
  ...wrongClocks,
];

/** Those that are named, separated by commas; empty: all. Throws with a message for people. */
export function faultsNamed(names: string): readonly Fault[] {
  const wanted = names.split(',').filter((name) => name !== '');
  const unknown = wanted.filter((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown.length > 0) {
    throw new Error(`no such fault: ${unknown.join(', ')} (there are ${FAULTS.map(({ name }) => name).join(', ')})`);
  }
  return wanted.length === 0 ? FAULTS : FAULTS.filter(({ name }) => wanted.includes(name));
}
