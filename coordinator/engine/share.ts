/** What chance brings about when workers pick their coordinator: so much above its share one keeps. */
const TOLERATED = 0.2;
/** Of its sessions one asks so many at a time to move, and at least one. */
const MOVED_SHARE = 0.25;

/** How many of its own sessions a coordinator asks to go elsewhere, of all that this many coordinators have together. */
export function sessionsToMove(own: number, total: number, coordinators: number): number {
  const share = total / Math.max(1, coordinators);
  if (coordinators < 2 || own <= share * (1 + TOLERATED)) {
    return 0;
  }
  return Math.min(own - Math.ceil(share), Math.max(1, Math.floor(own * MOVED_SHARE)));
}
