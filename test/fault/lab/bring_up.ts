import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { migrate } from '../../../coordinator/store/migrate.ts';
import { QueueClient } from '../../../worker/index.ts';
import { startCoordinator } from '../../support/coordinator.ts';
import { startScript } from '../../support/processes.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp_proxy.ts';
import { History } from '../history/history.ts';
import type { TargetKind } from '../fault.ts';
import { QUEUES } from '../workload/queues.ts';
import { READY, type WorkloadSettings } from '../workload/settings.ts';
import { LabDatabase } from './database.ts';
import { KeptProcess, type Start } from './kept_process.ts';
import type { Lab } from './lab.ts';
import { WITNESS } from './witness.ts';

/** Short, so that minutes see hundreds of leases run out. */
export const LEASE_TTL_MS = 3_000;

/** Less than it takes a worker to finish what it has: some move, some are cut off. */
const DRAIN_DEADLINE_MS = 2_000;

/** A program of the workload may take so long to load, on a busy machine. */
const READY_MS_MAX = 60_000;

const COORDINATORS = 3;
const WORKERS = 3;
const LIARS = 1;

/** How many there are of each kind of target. */
export const SIZES: Readonly<Record<TargetKind, number>> = {
  coordinator: COORDINATORS, worker: WORKERS, database: 1, 'worker link': COORDINATORS, 'database link': COORDINATORS + 1, everything: 1,
};

export interface RunningLab extends Lab {
  history: History;
  /** Submits until it is stopped. */
  submitter: KeptProcess;
  liars: readonly KeptProcess[];
  /** hold() returns at once from now on, and what is held already goes on. */
  endHolds(): void;
  /** Everything, in peace; what is stopped already is left alone. */
  stop(): Promise<void>;
}

/** Starts everything that the lab needs, in folders below `folder`, and resolves once all of it is ready. */
export async function bringUp(folder: string, seed: number): Promise<RunningLab> {
  const historyFolder = join(folder, 'history');
  const logFolder = join(folder, 'logs');
  await Promise.all([historyFolder, logFolder].map((path) => mkdir(path, { recursive: true })));
  const history = new History(historyFolder, 'lab.1');
  const database = await LabDatabase.create();
  await migrate(database.url);
  await database.query(WITNESS);

  const databaseLinks = await several(COORDINATORS + 1, () => startTcpProxy(database.address));
  // They aim at a coordinator once there is one.
  const workerLinks = await several(COORDINATORS, () => startTcpProxy(database.address));
  const kept = (name: string, start: Start): KeptProcess => new KeptProcess({ name, history, logFolder, start });
  const coordinators = workerLinks.map((workerLink, index) =>
    kept(`coordinator-${index}`, coordinator(through(database.url, databaseLinks[index]!), workerLink)));
  const program = (name: string, script: string, number: number): KeptProcess =>
    kept(name, workload(script, {
      name, seed: seed + number, addresses: workerLinks.map(({ address }) => address),
      databaseUrl: through(database.url, databaseLinks.at(-1)!), leaseTtlMs: LEASE_TTL_MS, historyFolder,
    }));
  const workers = Array.from({ length: WORKERS }, (_, index) => program(`worker-${index}`, 'worker.ts', 100 * (index + 1)));
  const liars = Array.from({ length: LIARS }, (_, index) => program(`liar-${index}`, 'liar.ts', 100 * (WORKERS + index + 1)));
  const submitter = program('submitter', 'submitter.ts', 0);

  await Promise.all(coordinators.map((each) => each.start()));
  await setQueues(workerLinks);
  await Promise.all([...workers, ...liars, submitter].map((each) => each.start()));

  const ending = new AbortController();
  return {
    leaseTtlMs: LEASE_TTL_MS,
    history, coordinators, workers, liars, submitter, database, workerLinks, databaseLinks,
    hold: (ms) => delay(ms, undefined, { signal: ending.signal }).catch(() => undefined),
    endHolds: () => ending.abort(),
    stop: async () => {
      await submitter.stop();
      await Promise.all([...workers, ...liars].map((each) => each.stop()));
      await Promise.all(coordinators.map((each) => each.stop()));
      await Promise.all([...workerLinks, ...databaseLinks].map((link) => link.close()));
      await database.stop('fast');
    },
  };
}

/** The same URL, through a link. */
function through(url: string, link: TcpProxy): string {
  const linked = new URL(url);
  linked.host = link.address;
  return linked.href;
}

/** On any free port each time: the link knows where it is. */
function coordinator(databaseUrl: string, link: TcpProxy): Start {
  return async (_incarnation, environment) => {
    const running = await startCoordinator({
      databaseUrl,
      environment: {
        SKIPLEASE_LEASE_TTL_MS: String(LEASE_TTL_MS),
        SKIPLEASE_DRAIN_DEADLINE_MS: String(DRAIN_DEADLINE_MS),
        SKIPLEASE_ADVERTISED_ADDRESS: link.address,
        ...environment,
      },
    });
    link.aim(running.grpcAddress);
    return running;
  };
}

function workload(script: string, settings: Omit<WorkloadSettings, 'incarnation'>): Start {
  const file = new URL(`../workload/${script}`, import.meta.url).pathname;
  return async (incarnation, environment) => {
    const own: WorkloadSettings = { ...settings, incarnation, seed: settings.seed + incarnation };
    const running = await startScript(file, [JSON.stringify(own)], environment);
    await running.line((line) => line === READY, READY_MS_MAX, `${settings.name} to be ready`);
    return running;
  };
}

async function setQueues(links: readonly TcpProxy[]): Promise<void> {
  const queues = new QueueClient({ addresses: links.map(({ address }) => address) });
  for (const [queue, settings] of Object.entries(QUEUES)) await queues.update(queue, settings);
  queues.close();
}

function several<Item>(count: number, make: () => Promise<Item>): Promise<Item[]> {
  return Promise.all(Array.from({ length: count }, make));
}
