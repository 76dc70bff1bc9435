/** The process's own clock: monotonic, for durations only. Moments that are stored come from the database's clock. */
export interface Clock {
  /** Milliseconds since some moment of the past; never jumps. */
  nowMs(): number;
  /** Runs once after that long; does not keep the process alive. */
  after(ms: number, run: () => void): NodeJS.Timeout;
  /** Runs again and again; does not keep the process alive. */
  every(ms: number, run: () => void): NodeJS.Timeout;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after: (ms, run) => setTimeout(run, Math.max(0, ms)).unref(),
  every: (ms, run) => setInterval(run, ms).unref(),
};
