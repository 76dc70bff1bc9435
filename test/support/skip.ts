import test, { type ImplementationFn } from 'ava';

/** A test as it is declared, `test(title, implementation)`. */
type Declare = (title: string, implementation: ImplementationFn<[]>) => void;

/**
 * `test` where the machine has what the test needs. Elsewhere the test is skipped and its title says why; with
 * `CI=true` it fails instead, because there everything must be had.
 */
export function testWhen(available: boolean, needs: string, declare: Declare = test): Declare {
  if (available) return declare;
  if (process.env.CI === 'true') {
    return (title) => declare(title, (t) => t.fail(`In CI no test may be skipped: this one needs ${needs}.`));
  }
  return (title, implementation) => test.skip(`${title} (skipped: needs ${needs})`, implementation);
}
