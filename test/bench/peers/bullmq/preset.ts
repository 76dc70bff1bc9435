import type { Mode } from '../../roles/methods.ts';

/** The one queue there is. */
export const QUEUE = 'bench';

/** Jobs that the worker handles at once. */
export const CONCURRENCY: Record<Mode, number> = { flood: 200, trickle: 24 };

/** When Redis forces its log to the disk: once a second, or before it answers. */
export type AppendFsync = 'everysec' | 'always';
