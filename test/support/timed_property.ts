import fc from 'fast-check';

/**
 * Tries a property on random values for so long. The run that the end of the time interrupts is waited for: it must hold
 * too, and would otherwise go on with what the test has closed.
 */
export async function holdsFor<Values extends [unknown, ...unknown[]]>(
  timeMs: number, arbitraries: { [Key in keyof Values]: fc.Arbitrary<Values[Key]> }, predicate: (...values: Values) => Promise<void>,
): Promise<void> {
  let last = Promise.resolve();
  const property = fc.asyncProperty(fc.tuple<Values>(...arbitraries), (values) => (last = predicate(...values)));
  const parameters = { plugins: [fc.interruptAfterTimeLimit(timeMs)], endOnFailure: true, includeErrorInReport: true, numRuns: 1_000 };
  await fc.assert(property, parameters).finally(() => Promise.allSettled([last]));
  await last;
}
