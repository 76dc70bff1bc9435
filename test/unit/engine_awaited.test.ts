import test from 'ava';
import { Awaited, rangeOf } from '../../coordinator/engine/awaited.ts';

test('everything may be awaited until somebody has looked', (t) => {
  const awaited = new Awaited();
  t.true(awaited.has('01990000-0000-7000-8000-000000000000'));
  awaited.turn();
  t.true(awaited.empty);
  t.false(awaited.has('01990000-0000-7000-8000-000000000000'));
});

test('what was heard or seen in one turn holds until the end of the next', (t) => {
  const awaited = new Awaited();
  awaited.turn();
  awaited.add({ min: 'b', max: 'd' });
  awaited.add({ min: 'c', max: 'e' });
  t.deepEqual(['a', 'b', 'e', 'f'].map((id) => awaited.has(id)), [false, true, true, false]);
  awaited.turn();
  t.true(awaited.has('b'));
  awaited.add({ min: 'd', max: 'd' });
  awaited.turn();
  t.deepEqual(['c', 'd'].map((id) => awaited.has(id)), [false, true]);
  awaited.turn();
  t.true(awaited.empty);
});

test('a range spans its ids', (t) => {
  t.is(rangeOf([]), undefined);
  t.deepEqual(rangeOf(['b', 'a', 'c']), { min: 'a', max: 'c' });
});
