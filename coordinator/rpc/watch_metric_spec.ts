import type { GetMetricSpecResponse, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { checkScaler } from './check_scaler.ts';
import type { Scaler } from './check_scaler.ts';
import { metricSpecs, nothingKnown } from './external_scaler.ts';
import type { Look, WatchKind } from './watcher.ts';

/** What is measured never changes while a trigger lasts: its target stands in the trigger itself. */
const LOOK_INTERVAL_MS = 600_000;
/** What an answer weighs, about. */
const ANSWER_BYTES = 200;

/** ExternalScaler.StreamMetricSpec: what is measured, at once; and nothing more, for as long as the stream is open. */
export function metricSpecWatches(): WatchKind<ScaledObjectRef, Look, GetMetricSpecResponse> {
  return {
    name: 'metric specs',
    idsOf: (ref) => {
      const { metricName, target } = checkScaler(ref);
      return [JSON.stringify({ metricName, target })];
    },
    intervalMs: LOOK_INTERVAL_MS,
    look: async (ids) => ids.map((id) => ({ id, mark: '' })),
    readMax: Infinity,
    read: async (looks) => looks.map((look) => ({ ...look, response: metricSpecs(JSON.parse(look.id) as Scaler), final: false, bytes: ANSWER_BYTES })),
    missing: nothingKnown,
  };
}
