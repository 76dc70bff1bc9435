/** The SQL that a worker's transaction ends a job with: nothing in it can be mistaken for SQL, and it says only what SQL can. */
import test from 'ava';
import { checkLease, endOf } from '../../worker/database/statements.ts';
import { failedOutcome, snoozedOutcome, succeededOutcome } from '../../worker/lease/outcome_wire.ts';
import { specFrom } from '../../worker/new_job.ts';

const hostile = `'; drop table ledger; --\\`;

test('whatever comes from outside goes as hex digits', (t) => {
  const statements = [
    checkLease(hostile, hostile),
    endOf(hostile, succeededOutcome(hostile, { text: hostile })),
    endOf(hostile, failedOutcome(hostile, { code: hostile, message: hostile, details: hostile }, { retryDelayMs: 1_500 })),
    endOf('7.0', succeededOutcome('id', undefined), [specFrom({ queue: hostile, type: hostile, payload: hostile, headers: { [hostile]: hostile }, delayMs: 5 })]),
  ].join(';');
  t.false(statements.includes('drop'));
  t.deepEqual([...new Set(statements.match(/'[^']*'/g))].filter((literal) => !/^'[0-9a-f]*'$/.test(literal)).toSorted(), [`'1 millisecond'`, `'UTF8'`, `'hex'`]);
  t.true(statements.includes(Buffer.from(hostile).toString('hex')));
});

test('a job is not put off in SQL, and what follows it asks for nothing that SQL cannot give', (t) => {
  t.throws(() => endOf('7.0', snoozedOutcome('id', 5)), { instanceOf: TypeError, message: /put off by throwing/ });
  const spec = specFrom({ queue: 'q', type: 't' });
  const ending = (followUp: typeof spec) => endOf('7.0', succeededOutcome('id', undefined), [followUp]);
  t.throws(() => ending({ ...spec, retryPolicy: { initialBackoff: undefined, maxBackoff: undefined } }), { instanceOf: TypeError, message: /retry policy/ });
  t.true(ending({ ...spec, serialKey: 'k' }).includes(Buffer.from('{"serial_key":"k"}').toString('hex')));
});
