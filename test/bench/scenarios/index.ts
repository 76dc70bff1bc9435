import type { ScenarioName } from '../options.ts';
import type { Scenario } from '../scenario.ts';
import { backlog } from './backlog.ts';
import { floodScenario } from './flood.ts';
import { graph } from './graph.ts';
import { handOff } from './hand_off.ts';
import { idleFleet } from './idle_fleet.ts';
import { latency } from './latency.ts';
import { longDrain } from './long_drain.ts';
import { manyQueues } from './many_queues.ts';
import { overload } from './overload.ts';
import { priorities } from './priorities.ts';
import { promotion } from './promotion.ts';
import { scheduled } from './scheduled.ts';
import { serialKeys } from './serial_keys.ts';
import { snapshot } from './snapshot.ts';
import { statements } from './statements.ts';
import { tenCoordinators } from './ten_coordinators.ts';
import { windowsOfOne } from './windows_of_one.ts';

/** Everything that can be measured. */
export const ALL_SCENARIOS: Record<ScenarioName, Scenario> = {
  submit: floodScenario('submit'),
  drain: floodScenario('drain'),
  'end-to-end': floodScenario('end-to-end'),
  latency,
  'hand-off': handOff,
  snapshot,
  backlog,
  scheduled,
  promotion,
  priorities,
  'many-queues': manyQueues,
  'serial-keys': serialKeys,
  graph,
  'windows-of-one': windowsOfOne,
  'ten-coordinators': tenCoordinators,
  'idle-fleet': idleFleet,
  'long-drain': longDrain,
  overload,
  statements,
};
