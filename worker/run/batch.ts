import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { AbortReason } from '../abort_reasons.ts';
import { BatchContext } from '../context.ts';
import type { ContextParts } from '../context.ts';
import type { BatchHandler, BatchOutcomes } from '../handler.ts';
import { Job } from '../job.ts';
import type { HeldJob } from '../lease/held_job.ts';
import { leaseIdOf } from '../lease/held_leases.ts';
import { failedOutcome } from '../lease/outcome_wire.ts';
import { loggerWith } from '../logger.ts';
import { isDeliberate, outcomeOfError, outcomeOfResult } from './outcome.ts';

/** Runs a batch handler over jobs of one type of one lease; the outcome of each, in their order. Never rejects. */
export async function runBatch(
  batch: readonly HeldJob[],
  handler: BatchHandler,
  parts: ContextParts,
): Promise<JobOutcome[]> {
  const unreadable = new Map<HeldJob, JobOutcome>();
  const jobs = batch.flatMap((held) => {
    try {
      return [new Job(held.wire, held.lease.queue, held.lease.codec)];
    } catch (error) {
      unreadable.set(held, outcomeOfError(held, error));
      return [];
    }
  });
  if (unreadable.size === 0) return runReadable(batch, jobs, handler, parts);
  const readable = batch.filter((held) => !unreadable.has(held));
  const outcomes = readable.length === 0 ? [] : await runReadable(readable, jobs, handler, parts);
  return batch.map((held) => unreadable.get(held) ?? outcomes[readable.indexOf(held)]!);
}

async function runReadable(batch: readonly HeldJob[], jobs: Job[], handler: BatchHandler, parts: ContextParts): Promise<JobOutcome[]> {
  try {
    return outcomesOf(batch, await handler(jobs, contextOf(batch, parts)));
  } catch (error) {
    if (!isDeliberate(error)) {
      const { type } = batch[0]!.wire;
      const fields = { event: 'batch_failed', job_type: type, jobs: batch.length, error: String(error) };
      parts.logger.warn(fields, `the batch handler of ${type} failed with all ${batch.length} jobs: ${String(error)}`);
    }
    return batch.map((held) => outcomeOfError(held, error));
  }
}

function contextOf(batch: readonly HeldJob[], parts: ContextParts): BatchContext {
  const { lease, wire } = batch[0]!;
  const abort = new AbortController();
  let alive = batch.length;
  const onAbort = (reason: AbortReason) => {
    alive -= 1;
    if (alive === 0) abort.abort(reason);
  };
  for (const held of batch) held.onAbort = onAbort;
  const logger = loggerWith(parts.logger, { lease_id: leaseIdOf(lease.token), job_type: wire.type });
  return new BatchContext(batch, parts, abort.signal, logger);
}

/** A handler that forgets a job has not done it: that attempt failed, and says so. */
function outcomesOf(batch: readonly HeldJob[], outcomes: BatchOutcomes): JobOutcome[] {
  if (outcomes === undefined) return batch.map((held) => outcomeOfResult(held, undefined));
  if (outcomes instanceof Map) {
    return batch.map((held) => {
      const { id } = held.wire;
      return outcomes.has(id) ? outcomeOfValue(held, outcomes.get(id)) : missing(held, 'the Map does not name it');
    });
  }
  if (!Array.isArray(outcomes)) {
    return batch.map((held) => missing(held, 'it returned neither an array nor a Map'));
  }
  const wrongLength = `it returned ${outcomes.length} outcomes for ${batch.length} jobs`;
  return batch.map((held, index) =>
    outcomes.length === batch.length ? outcomeOfValue(held, outcomes[index]) : missing(held, wrongLength),
  );
}

function outcomeOfValue(held: HeldJob, value: unknown): JobOutcome {
  return value instanceof Error ? outcomeOfError(held, value) : outcomeOfResult(held, value);
}

function missing(held: HeldJob, why: string): JobOutcome {
  const message = `the batch handler said nothing of this job: ${why}`;
  return failedOutcome(held.wire.id, { code: 'OUTCOME_MISSING', message, details: '' });
}
