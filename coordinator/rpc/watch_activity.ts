import type { IsActiveResponse, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { checkScaler } from './check_scaler.ts';
import type { Scaler } from './check_scaler.ts';
import { isActive, nothingKnown, workloads } from './external_scaler.ts';
import type { ReadDepths } from './external_scaler.ts';
import type { Look, WatchKind } from './watcher.ts';

/** Unless something moves sooner. */
const LOOK_INTERVAL_MS = 1_000;
/** What an answer weighs, about. */
const ANSWER_BYTES = 16;

interface ActivityLook extends Look {
  active: boolean;
}

/** ExternalScaler.StreamIsActive: whether there is work, then again whenever that changes. What is watched is a queue with its activation target. */
export function activityWatches(depths: ReadDepths): WatchKind<ScaledObjectRef, ActivityLook, IsActiveResponse> {
  return {
    name: 'scaled objects',
    idsOf: (ref) => {
      const { queue, activationTarget } = checkScaler(ref);
      return [JSON.stringify({ queue, activationTarget })];
    },
    intervalMs: LOOK_INTERVAL_MS,
    look: async (ids) => {
      const jobs = await workloads(depths);
      return ids.map((id) => {
        const active = isActive(JSON.parse(id) as Scaler, jobs);
        return { id, mark: String(active), active };
      });
    },
    readMax: Infinity,
    read: async (looks) => looks.map(({ active, ...look }) => ({ ...look, response: { result: active }, final: false, bytes: ANSWER_BYTES })),
    missing: nothingKnown,
  };
}
