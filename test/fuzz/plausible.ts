/** Values that are mostly accepted, so that messages come far before they go wrong. */
import { ScalarType, type DescField } from '@bufbuild/protobuf';
import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import { makePageToken } from '../../coordinator/rpc/page_token.ts';
import { newJobId } from '../../worker/index.ts';
import type { Random } from '../../worker/payments/random.ts';
import type { Known } from './known.ts';

export const QUEUES = ['fuzz', 'fuzz.paused', 'fuzz.limited', 'fuzz.serial'];
const KEYS = ['one', 'two', 'three'];

/** Texts by the name of their field. */
const TEXTS: Record<string, (random: Random, known: Known) => string> = {
  id: (random, known) => (random.next() < 0.2 ? known.pick('jobId', random) : undefined) ?? newJobId(),
  job_id: (random, known) => known.pick('jobId', random) ?? newJobId(),
  job_ids: (random, known) => known.pick('jobId', random) ?? newJobId(),
  after_job_ids: (random, known) => known.pick('jobId', random) ?? newJobId(),
  batch_id: (random, known) => known.pick('batchId', random) ?? newJobId(),
  token: (random, known) => known.pick('token', random) ?? '1.0123456789abcdef',
  held_tokens: (random, known) => known.pick('token', random) ?? '1.0123456789abcdef',
  page_token: (random, known) => (random.next() < 0.5 ? known.pick('pageToken', random) : undefined) ?? forgedPageToken(random),
  queue: (random) => random.pick(QUEUES),
  queues: (random) => random.pick(QUEUES),
  type: (random) => random.pick(['fuzz.a', 'fuzz.b']),
  // Of schedules. Few, since each goes on ticking.
  name: (random) => random.pick(['fuzz.one', 'fuzz.two']),
  cron: (random) => random.pick(['* * * * * *', '*/5 * * * *', '0 7 * * MON-FRI', '@daily']),
  time_zone: (random) => random.pick(['', 'UTC', 'Europe/Berlin']),
  content_type: (random) => random.pick(['', '', 'application/json']),
  json_text: (random) => random.pick(['{}', '{"a":[1,2.5,null]}', '"text"', '12345678901234567890']),
  worker_id: () => 'fuzz',
  instance_id: (random) => random.pick(['', `instance-${random.between(1, 8)}`]),
  error_code: () => 'FUZZ',
  code: () => 'FUZZ',
};

/** Anybody can make one: of lists with no filter set, and a cursor that no list would have given. */
function forgedPageToken(random: Random): string {
  const cursor = random.pick(['', '\0', '-'.repeat(36), newJobId(), `${newJobId().slice(0, 35)}g`, '0'.repeat(18), '9'.repeat(19), '\ud800', 'a', 'a\n']);
  return makePageToken(cursor, random.pick([[], [''], ['', ''], [0]]));
}

const NUMBERS: Record<string, (random: Random) => number> = {
  receive_bytes_max: () => 0,
  bytes: () => 0,
  jobs: (random) => random.between(0, 50),
  lease_jobs_max: (random) => random.between(1, 20),
  starts: (random) => random.between(1, 100),
  percent: (random) => random.between(0, 100),
  factor: (random) => 1 + random.next(),
  jitter: (random) => random.next(),
  jobs_per_second: (random) => random.pick([0, 0.5, 1_000]),
};

/** How often a field is there; of the others three tenths. */
const LIKELY: Record<string, number> = {
  job: 0.97, jobs: 0.97, queue: 0.97, queues: 0.97, type: 0.97, window: 0.97, worker_id: 0.97, schedule: 0.97, cron: 0.97, name: 0.97, token: 0.97, job_id: 0.97,
  outcomes: 0.97, content: 0.9, outcome: 0.95, settings: 0.97, key: 0.97, starts: 0.97, period: 0.97, job_ids: 0.6, page_token: 0.3, instance_id: 0.5,
  after_job_ids: 0.1, unique: 0.15, id: 0.2, max_attempts: 0.1, follow_up: 0.2, follow_ups: 0.1, deadline: 0.1, start: 0.15, error_code: 0.05, page_size: 0.3, time_zone: 0.2,
};

/** `within`: the name of the message. */
export function likelihood(name: string, within: string): number {
  return name === 'batch_id' ? (within === 'JobSpec' ? 0.1 : 0.9) : LIKELY[name] ?? 0.3;
}

/** Writes a value without its tag. */
export function writePlausible(writer: BinaryWriter, { name }: DescField, type: ScalarType, random: Random, known: Known): void {
  switch (type) {
    case ScalarType.STRING:
      writer.string((TEXTS[name] ?? ((any: Random) => any.pick(KEYS)))(random, known));
      return;
    case ScalarType.BYTES:
      writer.bytes(Buffer.alloc(random.between(0, 200), 'x'));
      return;
    case ScalarType.BOOL:
      writer.bool(random.next() < 0.5);
      return;
    case ScalarType.DOUBLE:
      writer.double(number(name, random));
      return;
    case ScalarType.INT64:
      writer.int64(Math.round(number(name, random)));
      return;
    default:
      writer.int32(Math.round(number(name, random)));
  }
}

function number(name: string, random: Random): number {
  return (NUMBERS[name] ?? ((any: Random) => any.between(0, 9)))(random);
}
