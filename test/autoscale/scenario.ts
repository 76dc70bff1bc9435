/** One wave of jobs. Times in simulated seconds. */
export interface Wave {
  atSeconds: number;
  jobs: number;
  /** They come one after the other over so long; 0: all at once. */
  overSeconds: number;
  /** How long each takes. */
  workSeconds: number;
}

/** What happens in a run, and how its time passes. */
export interface Scenario {
  waves: readonly Wave[];
  /** It lasts so long, and until all is done and everybody has gone home: on a slow machine, later. */
  endSeconds: number;
  /** Simulated seconds in one second: every period, window and job is so much shorter than it says. */
  speed: number;
  /** Jobs that one worker runs at once; it holds twice as many. */
  concurrency: number;
}

/** A lull, a burst, its long tail, and a lull in which all workers go home; then a smaller burst, from nothing. */
export const BURST_TAIL_LULL: Scenario = {
  waves: [
    { atSeconds: 30, jobs: 900, overSeconds: 0, workSeconds: 2 },
    { atSeconds: 60, jobs: 10, overSeconds: 100, workSeconds: 150 },
    { atSeconds: 180, jobs: 150, overSeconds: 300, workSeconds: 10 },
    { atSeconds: 1_300, jobs: 200, overSeconds: 0, workSeconds: 2 },
  ],
  endSeconds: 2_200,
  speed: 8,
  concurrency: 4,
};
