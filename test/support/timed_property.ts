import fc from 'fast-check';

/**
 * Tries a property on random values for so long, and at least once. The run that the end of the time interrupts is waited
 * for: it must hold too, and would otherwise go on with what the test has closed.
 */
export async function holdsFor<Values extends [unknown, ...unknown[]]>(
  timeMs: number, arbitraries: { [Key in keyof Values]: fc.Arbitrary<Values[Key]> }, predicate: (...values: Values) => Promise<void>,
): Promise<void> {
  let last = Promise.resolve();
  const property = fc.asyncProperty(fc.tuple<Values>(...arbitraries), (values) => (last = predicate(...values)));
  const run = await fc.check(property, {
    plugins: [fc.interruptAfterTimeLimit(timeMs)], endOnFailure: true, includeErrorInReport: true, numRuns: 1_000_000,
  });
  await Promise.allSettled([last]);
  // On a busy machine the time may be over before the first run is.
  if (run.failed && run.counterexample !== null) {
    throw new Error(fc.defaultReportMessage(run));
  }
  await last;
}
