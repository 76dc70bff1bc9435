/** Depths of one queue, as a scrape shows them. */
export interface QueueSample {
  queue: string;
  ready: number;
  leased: number;
  scheduled: number;
  /** undefined: none waits. */
  oldestReadyAgeSeconds: number | undefined;
}

/** Several scrapers, or one in a hurry, share one look at the database for this long. */
const SAMPLE_MAX_AGE_MS = 5_000;

/**
 * Asks for depths at most every few seconds. When the database is away the gauges are absent, not zero: an autoscaler
 * must not mistake an outage for an empty queue.
 */
export function cachedSamples(read: () => Promise<QueueSample[]>, onFailure: (reason: string) => void): () => Promise<QueueSample[]> {
  let samples: Promise<QueueSample[]> = Promise.resolve([]);
  let readAt = -Infinity;
  return () => {
    if (performance.now() - readAt >= SAMPLE_MAX_AGE_MS) {
      readAt = performance.now();
      samples = read().catch(() => {
        onFailure('QUEUE_DEPTHS_UNREADABLE');
        return [];
      });
    }
    return samples;
  };
}
