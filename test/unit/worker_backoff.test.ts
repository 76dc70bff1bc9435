import test from 'ava';
import fc from 'fast-check';
import { AddressRotation, goodSessionMs } from '../../worker/stream/address_rotation.ts';
import { backoffMs, reconnectBackoff } from '../../worker/stream/backoff.ts';

test('a wait is anything between nothing and the doubled bound, which never passes the most', (t) => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (failures, random) => {
      const waitMs = backoffMs(failures, reconnectBackoff, () => random);
      const boundMs = Math.min(5_000, 50 * 2 ** failures);
      return waitMs >= 0 && waitMs <= boundMs && Math.abs(waitMs - random * boundMs) < 1e-6;
    }),
  );
  t.pass();
});

test('every address is tried once without a wait, then the backoff grows to its bound', (t) => {
  const rotation = new AddressRotation(['a', 'b', 'c'], () => 1);
  const tries: [string, number][] = [];
  for (let count = 0; count < 13; count += 1) {
    tries.push([rotation.next(), rotation.waitMs()]);
    rotation.failed();
  }
  const waits = [0, 0, 0, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000];
  t.deepEqual(tries, waits.map((wait, index) => [['a', 'b', 'c'][index % 3], wait]));
});

test('the break of a session that was a good one leads to the next address at once; of a short one not for ever', (t) => {
  const rotation = new AddressRotation(['a'], () => 1);
  for (let count = 0; count < 5; count += 1) rotation.failed();
  t.is(rotation.waitMs(), 800);
  rotation.failed(goodSessionMs);
  t.is(rotation.waitMs(), 0);
  for (let count = 0; count < 3; count += 1) rotation.failed(goodSessionMs - 1);
  t.is(rotation.waitMs(), 200);
});

test('another address is preferred to the one that is left, where there is one', (t) => {
  const two = new AddressRotation(['a', 'b']);
  t.is(two.next(), 'a');
  t.is(two.next('a'), 'b');
  t.is(two.next('a'), 'b');
  t.is(new AddressRotation(['only']).next('only'), 'only');
});

test('waits stay below a bound that is lowered for short leases', (t) => {
  const rotation = new AddressRotation(['a'], () => 1);
  rotation.waitMsMax = 300;
  for (let count = 0; count < 20; count += 1) rotation.failed();
  t.is(rotation.waitMs(), 300);
});
