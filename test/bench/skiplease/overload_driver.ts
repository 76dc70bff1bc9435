import { JobClient, newJobId, SkipleaseError, type NewJob } from '../../../worker/index.ts';
import { benchPayload } from '../measure/payload.ts';
import { monotonicMs } from '../measure/clock.ts';
import type { DriverCounts, DriverMethods } from '../roles/methods.ts';
import { serve } from '../roles/serve.ts';
import { QUEUE, STREAMS, TYPE } from './preset.ts';

/** Jobs in one call of the overload, each call committed as a whole. */
const CALL_JOBS = 500;
const TICK_MS = 10;
/** Connections over which the overload comes. */
const CLIENTS = 4;
/** A caller gives up after so long, and does not come again. */
const CALL_TIMEOUT_MS = 10_000;
/** Calls on their way: what falls due beyond them is not even sent, and counted as such. */
const CALLS_MAX = 400;
/** Likewise what one tick would have to send at once: a driver that is late must not spend the callers' time on catching up. */
const CALLS_PER_TICK_MAX = 8;

let address = '';
let payloadBytes = 0;
let next = 0;
const counts: DriverCounts = { offered: 0, unsent: 0, accepted: 0, acceptedIds: [], refused: {}, slowestAnswerMs: 0 };
let flooding = false;
let ended: Promise<unknown> = Promise.resolve();
let clients: JobClient[] = [];

/** Submits a flood as fast as it is taken, or so many jobs in each second whatever becomes of them. */
const methods: DriverMethods = {
  async open(order) {
    ({ address, payloadBytes } = order);
  },
  async flood() {
    flooding = true;
    clients = Array.from({ length: STREAMS }, () => new JobClient({ addresses: [address], triesMax: 1_000 }));
    ended = Promise.all(clients.map(async (client) => {
      const { created } = await client.stream(whileFlooding());
      counts.accepted += created;
    }));
  },
  async overload({ jobsPerSecond }) {
    flooding = true;
    clients = Array.from({ length: CLIENTS }, () => new JobClient({ addresses: [address], triesMax: 1, timeoutMs: CALL_TIMEOUT_MS }));
    ended = overload(jobsPerSecond);
  },
  async stop() {
    flooding = false;
    await ended;
    clients.forEach((client) => client.close());
  },
  async counts() {
    return counts;
  },
};
serve(methods);

function* whileFlooding(): Generator<NewJob> {
  while (flooding) yield job();
}

async function overload(jobsPerSecond: number): Promise<void> {
  const under = new Set<Promise<void>>();
  const startMs = monotonicMs();
  let calls = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.floor(((monotonicMs() - startMs) * jobsPerSecond) / 1_000 / CALL_JOBS);
      const late = Math.max(0, due - calls - CALLS_PER_TICK_MAX);
      calls += late;
      counts.offered += late * CALL_JOBS;
      counts.unsent += late * CALL_JOBS;
      for (; calls < due; calls += 1) {
        counts.offered += CALL_JOBS;
        if (under.size >= CALLS_MAX) {
          counts.unsent += CALL_JOBS;
          continue;
        }
        const call = submit(clients[calls % CLIENTS]!).finally(() => under.delete(call));
        under.add(call);
      }
      if (!flooding) {
        clearInterval(timer);
        resolve();
      }
    }, TICK_MS);
  });
  await Promise.all(under);
}

async function submit(client: JobClient): Promise<void> {
  const jobs = Array.from({ length: CALL_JOBS }, job);
  const sentMs = monotonicMs();
  try {
    await client.submitMany(jobs);
    counts.accepted += CALL_JOBS;
    counts.acceptedIds.push(jobs[0]!.id!);
  } catch (error) {
    const why = error instanceof SkipleaseError ? error.reason || error.code : String(error);
    counts.refused[why] = (counts.refused[why] ?? 0) + CALL_JOBS;
  }
  counts.slowestAnswerMs = Math.max(counts.slowestAnswerMs, monotonicMs() - sentMs);
}

function job(): NewJob {
  next += 1;
  return { id: newJobId(), queue: QUEUE, type: TYPE, payload: Buffer.from(JSON.stringify(benchPayload(next - 1, payloadBytes))) };
}
