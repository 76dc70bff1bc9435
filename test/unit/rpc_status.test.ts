import { status } from '@grpc/grpc-js';
import type { Metadata } from '@grpc/grpc-js';
import test from 'ava';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import { invalidArgument, SkipleaseError } from '../../coordinator/errors.ts';
import { createLog } from '../../coordinator/observe/log.ts';
import { StatusMapper } from '../../coordinator/rpc/status.ts';

const counted: string[] = [];
const statuses = new StatusMapper(createLog('silent'), (reason) => counted.push(reason));

function decode(metadata: Metadata): Status {
  return Status.decode(metadata.get('grpc-status-details-bin')[0] as Buffer);
}

function detail(of: Status, type: string): Uint8Array | undefined {
  return of.details.find(({ typeUrl }) => typeUrl.endsWith(`google.rpc.${type}`))?.value;
}

test('our errors carry their reason, and when to try again', (t) => {
  const error = new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MUCH', 'too much', { retryAfterMs: 1_500, metadata: { limit: '7' } });
  const { code, details, metadata } = statuses.forCall(error, 'test');
  t.is(code, status.RESOURCE_EXHAUSTED);
  t.is(details, 'too much');
  const decoded = decode(metadata);
  t.is(decoded.code, code);
  t.deepEqual(ErrorInfo.decode(detail(decoded, 'ErrorInfo')!), { reason: 'TOO_MUCH', domain: 'skiplease', metadata: { limit: '7' } });
  t.deepEqual(RetryInfo.decode(detail(decoded, 'RetryInfo')!).retryDelay, { seconds: 1, nanos: 500_000_000 });
  t.is(detail(decoded, 'BadRequest'), undefined);
});

test('trailers stay small, however much is wrong', (t) => {
  const violations = Array.from({ length: 100 }, (_, index) => ({ field: `jobs[${index}].payload.json.${'x'.repeat(5_000)}`, description: 'y'.repeat(5_000) }));
  const { details, metadata } = statuses.forCall(invalidArgument(violations), 'test');
  const bytes = metadata.get('grpc-status-details-bin')[0] as Buffer;
  t.true(bytes.length < 5_000, `${bytes.length} bytes`);
  t.true(details.length <= 1_001);
  t.true(BadRequest.decode(detail(Status.decode(bytes), 'BadRequest')!).fieldViolations.length >= 1);
});

test('half a surrogate pair in a message does not break the answer', (t) => {
  const { details } = statuses.forCall(invalidArgument([{ field: 'a\ud800', description: 'b\udc00' }]), 'test');
  t.notThrows(() => encodeURI(details));
});

for (const [what, error] of [
  ['a refused connection', Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' })],
  ['a connection that ended', new Error('Connection terminated unexpectedly')],
  ['a connection that broke just before it was used', new Error('Client is pending destroy.')],
  ['a query that got no answer', new Error('Query read timeout')],
  ['a pool that closes', new Error('Connection pool is being shut down. Cannot create a new connection.')],
  ['a server that shuts down', Object.assign(new Error('terminating connection'), { code: '57P01', severity: 'FATAL' })],
  ['a statement that took too long', Object.assign(new Error('canceling statement'), { code: '57014', severity: 'ERROR' })],
  ['too many connections', Object.assign(new Error('sorry, too many clients already'), { code: '53300', severity: 'FATAL' })],
  ['one of these as the cause of another', new Error('wrapped', { cause: Object.assign(new Error('x'), { code: 'ECONNRESET' }) })],
] as const) {
  test(`${what} is UNAVAILABLE, with a delay`, (t) => {
    const { code, metadata } = statuses.forCall(error, 'test');
    t.is(code, status.UNAVAILABLE);
    t.true(RetryInfo.decode(detail(decode(metadata), 'RetryInfo')!).retryDelay!.seconds > 0);
  });
}

for (const [what, error] of [
  ['a mistake of ours', new TypeError('undefined is not a function')],
  ['a statement of ours that is wrong', Object.assign(new Error('column "secret" does not exist'), { code: '42703', severity: 'ERROR' })],
  ['what is no error at all', 'a string'],
] as const) {
  test(`${what} is INTERNAL, says nothing of the inside, and is counted`, (t) => {
    const before = counted.length;
    const { code, details, metadata } = statuses.forCall(error, 'test');
    t.is(code, status.INTERNAL);
    t.false(details.includes('secret') || details.includes('undefined'));
    t.is(ErrorInfo.decode(detail(decode(metadata), 'ErrorInfo')!).reason, 'UNEXPECTED');
    t.deepEqual(counted.slice(before), ['UNEXPECTED']);
  });
}
