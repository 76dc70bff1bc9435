/** Where a claim starts: a mark for each priority of a queue, one that trails behind it, and zero while a level is new. */
import test from 'ava';
import { Levels, TRAIL_MS } from '../../coordinator/engine/levels.ts';

const QUEUE = 7;
const SECOND = 1_000;

/** A level whose first claim is long past, at mark 100. */
function settled(): Levels {
  const levels = new Levels();
  levels.note(QUEUE, 0, 100n);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 100n]]), true, 0);
  return levels;
}

const marks = (levels: Levels) => levels.ask(QUEUE).map(({ priority, mark }) => [priority, mark]);

test('asks only for what was noted, highest priority first, each from its own mark', (t) => {
  const levels = new Levels();
  t.deepEqual(marks(levels), []);
  levels.note(QUEUE, 0, 10n);
  levels.note(QUEUE, 9, 30n);
  levels.note(QUEUE, 5, 20n);
  t.deepEqual(marks(levels), [[9, 29n], [5, 19n], [0, 9n]]);
  t.deepEqual([...levels.waitingQueueIds], [QUEUE]);
});

test('a claim moves the marks of the priorities that it took from; a short one ends the waiting', (t) => {
  const levels = new Levels();
  levels.note(QUEUE, 0, 10n);
  levels.note(QUEUE, 9, 20n);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[9, 25n]]), false, 0);
  t.deepEqual(marks(levels), [[9, 25n], [0, 9n]], 'there is more');
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 12n]]), true, 0);
  t.deepEqual(marks(levels), []);
  t.is(levels.waitingQueueIds.size, 0);
});

test('what is noted while a claim is under way keeps its queue waiting, from there', (t) => {
  const levels = settled();
  levels.note(QUEUE, 0, 200n);
  const asks = levels.ask(QUEUE);
  levels.note(QUEUE, 0, 150n);
  levels.claimed(QUEUE, asks, new Map([[0, 210n]]), true, 20 * SECOND);
  t.deepEqual(marks(levels), [[0, 149n]]);
});

test('a note below the mark lowers it, also below the trailing one', (t) => {
  const levels = settled();
  levels.note(QUEUE, 0, 500n);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 500n]]), true, 20 * SECOND);
  levels.note(QUEUE, 0, 50n);
  t.deepEqual(marks(levels), [[0, 49n]]);
  t.true(levels.lookBack(21 * SECOND));
  t.deepEqual(marks(levels), [[0, 49n]], 'the trailing mark is 100 by now, which is too high');
});

test('a look back starts where the mark was a trailing time ago, and ends when nothing has been claimed for as long', (t) => {
  const levels = settled();
  levels.lookBack(20 * SECOND);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map(), true, 20 * SECOND);
  for (let position = 200n; position <= 220n; position += 1n) {
    const atMs = 20 * SECOND + Number(position - 200n) * SECOND;
    levels.note(QUEUE, 0, position);
    levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, position]]), true, atMs);
  }
  t.true(levels.lookBack(40 * SECOND));
  const [, mark] = marks(levels)[0]!;
  t.true((mark as bigint) >= 205n && (mark as bigint) <= 210n, `where it was about ${TRAIL_MS} ms before: ${mark}`);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 207n]]), true, 40 * SECOND);
  t.deepEqual(marks(levels), [], 'one look is enough for half a second');
  t.deepEqual(levels.marks(QUEUE, 0)[0], { priority: 0, mark: 220n }, 'what was late moves no mark back');
  t.true(levels.lookBack(45 * SECOND));
  t.false(levels.lookBack(60 * SECOND), 'an idle queue is left alone');
});

test('while a level is new the look back starts at zero: what was drawn before its first job may come yet', (t) => {
  const levels = settled();
  t.true(levels.lookBack(SECOND));
  t.deepEqual(marks(levels), [[0, 0n]]);
  t.false(levels.lookBack(20 * SECOND));
});

test('a look back that was cut off by its count is not over', (t) => {
  const levels = settled();
  levels.note(QUEUE, 0, 500n);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 500n]]), true, 20 * SECOND);
  levels.lookBack(21 * SECOND);
  levels.claimed(QUEUE, levels.ask(QUEUE), new Map([[0, 101n]]), false, 21 * SECOND);
  t.deepEqual(marks(levels), [[0, 100n]], 'once more from the trailing mark');
});

test('a queue that is woken asks again from its marks; one that is not known has nothing to ask', (t) => {
  const levels = settled();
  levels.wake([QUEUE, 8]);
  t.deepEqual([...levels.waitingQueueIds], [QUEUE]);
  t.deepEqual(marks(levels), [[0, 100n]]);
});

test('a hand-off looks at every priority from its own up, unknown ones from zero', (t) => {
  t.deepEqual(settled().marks(QUEUE, 8), [{ priority: 8, mark: 0n }, { priority: 9, mark: 0n }]);
  t.deepEqual(settled().marks(QUEUE, 0)[0], { priority: 0, mark: 100n });
});
