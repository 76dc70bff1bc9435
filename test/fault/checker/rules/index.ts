import type { Rule } from '../violation.ts';
import { exactlyOnce } from './exactly_once.ts';
import { inOrder } from './in_order.ts';
import { inTime } from './in_time.ts';
import { noStaleEffect } from './no_stale_effect.ts';
import { nothingLost } from './nothing_lost.ts';
import { nothingStuck } from './nothing_stuck.ts';
import { oneFinalState } from './one_final_state.ts';
import { oneHolder } from './one_holder.ts';
import { processes } from './processes.ts';
import { trueReceipts } from './true_receipts.ts';
import { vouched } from './vouched.ts';
import { withinLimits } from './within_limits.ts';

/** All that must hold, in the order of the promises. */
export const RULES: readonly Rule[] = [
  nothingLost, oneFinalState, oneHolder, noStaleEffect, trueReceipts, vouched, exactlyOnce, inOrder, withinLimits, inTime, nothingStuck, processes,
];
