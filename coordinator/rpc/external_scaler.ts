import type { handleServerStreamingCall } from '@grpc/grpc-js';
import { ExternalScalerService } from '../../proto/gen/externalscaler/externalscaler.ts';
import type { ExternalScalerServer, GetMetricSpecResponse, IsActiveResponse, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { invalidArgument, SkipleaseError } from '../errors.ts';
import type { QueueSample } from '../observe/queue_gauges.ts';
import { workloadJobs } from '../observe/workload.ts';
import { checkScaler } from './check_scaler.ts';
import type { Scaler } from './check_scaler.ts';
import type { UnaryCalls } from './unary.ts';

/** When the depths cannot be read. */
const RETRY_MS = 1_000;

/** Depths of all queues, read for everybody who asks; undefined: they cannot be had now. */
export type ReadDepths = () => Promise<QueueSample[] | undefined>;

export interface ExternalScalerDependencies {
  depths: ReadDepths;
  calls: UnaryCalls;
  /** rpc/watch_activity.ts */
  watchActivity: handleServerStreamingCall<ScaledObjectRef, IsActiveResponse>;
  /** rpc/watch_metric_spec.ts */
  watchMetricSpec: handleServerStreamingCall<ScaledObjectRef, GetMetricSpecResponse>;
}

export { ExternalScalerService as externalScalerDefinition };

/** externalscaler.ExternalScaler: what KEDA asks of a scaler, so that it scales workers on the work that their queue has. */
export function externalScaler({ depths, calls, watchActivity, watchMetricSpec }: ExternalScalerDependencies): ExternalScalerServer {
  return {
    isActive: calls.ordinary(async (ref) => {
      const scaler = checkScaler(ref);
      return { result: isActive(scaler, await workloads(depths)) };
    }),

    streamIsActive: watchActivity,

    getMetricSpec: calls.handler(async (ref) => metricSpecs(checkScaler(ref))),

    streamMetricSpec: watchMetricSpec,

    getMetrics: calls.ordinary(async ({ scaledObjectRef, metricName: asked }) => {
      const { queue, metricName } = checkScaler(scaledObjectRef, 'scaledObjectRef.');
      if (asked !== '' && asked !== metricName) {
        throw invalidArgument([{ field: 'metricName', description: `is ${JSON.stringify(asked)}: of this queue there is ${metricName} alone` }]);
      }
      const jobs = (await workloads(depths)).get(queue) ?? 0;
      return { metricValues: [{ metricName, metricValue: jobs, metricValueFloat: jobs }] };
    }),
  };
}

/** What is measured, and its target. Whole numbers are for a KEDA that knows no others. */
export function metricSpecs({ metricName, target }: Pick<Scaler, 'metricName' | 'target'>): GetMetricSpecResponse {
  return { metricSpecs: [{ metricName, targetSize: Math.max(1, Math.round(target)), targetSizeFloat: target }] };
}

/** By queue. UNAVAILABLE when they are not known: whoever asks must not take that for nothing to do. */
export async function workloads(depths: ReadDepths): Promise<Map<string, number>> {
  const samples = await depths();
  if (samples === undefined) {
    throw new SkipleaseError('UNAVAILABLE', 'QUEUE_DEPTHS_UNREADABLE', 'The depths of the queues cannot be read now. Keep what runs, and ask again.',
      { retryAfterMs: RETRY_MS });
  }
  return new Map(samples.map((sample) => [sample.queue, workloadJobs(sample)]));
}

/** A queue that is not there has nothing to do. */
export function isActive({ queue, activationTarget }: Pick<Scaler, 'queue' | 'activationTarget'>, jobsByQueue: Map<string, number>): boolean {
  return (jobsByQueue.get(queue) ?? 0) > activationTarget;
}

/** A watch answers for whatever it is asked: nobody is ever told this. */
export function nothingKnown(id: string): SkipleaseError {
  return new SkipleaseError('NOT_FOUND', 'SCALER_NOT_FOUND', `Nothing is known of ${id}.`, { metadata: { scaler: id } });
}
