/** A line to the other coordinators: hints only, never the truth. Lost ones are made up for by scans. */
export interface Line {
  /** False: nobody is at the other end, and nothing need be said. */
  readonly reachesOthers: boolean;
  /** Listens, if it does not yet. Where the line is a connection to the database, it rejects while that is away. */
  listen(): Promise<void>;
  /** At most 8,000 bytes; rejects when it cannot be said now. Never inside somebody's transaction. */
  send(payload: string): Promise<void>;
  close(): Promise<void>;
}

/** `listening` is called each time that listening (re)starts: whatever was said meanwhile is lost. */
export type OpenLine = (received: (payload: string) => void, listening: () => void) => Line;
