import test from 'ava';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { FieldViolation } from '../../coordinator/errors.ts';
import { checkSubscriptions } from '../../coordinator/rpc/check_hello.ts';
import { checkReport } from '../../coordinator/rpc/check_report.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';

const RULES = { nowMs: Date.now(), payloadBytesMax: 1_024, resultBytesMax: 1_024 };

test('a window that names too many queues is refused by their number, and of bad names only some are told', (t) => {
  const refused = (count: number) => {
    const violations: FieldViolation[] = [];
    checkSubscriptions(Array.from({ length: count }, () => ({ queue: '', jobsMax: 0 })), 'window.queues', violations);
    return violations;
  };
  t.deepEqual(refused(100_000).map(({ description }) => description), ['has 100000 queues: at most 10000 are accepted']);
  t.is(refused(10_000).length, 100);
});

test('what is refused in a report is told in few words, since ten thousand of them make one receipt', (t) => {
  const followUps = Array.from({ length: 100 }, () => JobSpec.create({ queue: '', type: 'x'.repeat(1_000) }));
  const [job] = checkReport({ token: '', outcomes: [{ jobId: newJobId(RULES.nowMs), outcome: { $case: 'succeeded', value: { result: undefined } }, followUps }] }, RULES);
  const { refused } = job!.move as { refused: string };
  t.regex(refused, /^follow_ups\[0\]\.queue: .* \(and \d+ more\)$/);
  t.true(refused.length < 350);
});
