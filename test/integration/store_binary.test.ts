/** The binary form of array parameters means to PostgreSQL what it meant here. */
import anyTest from 'ava';
import fc from 'fast-check';
import pg from 'pg';
import { Bits } from '../../coordinator/bits.ts';
import * as binary from '../../coordinator/store/binary.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';

const test = anyTest.serial;
let database: TestDatabase;
let client: pg.Client;

test.before(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

test.after.always(async () => {
  await client?.end();
  await database?.drop();
});

const word = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\0', '').toWellFormed());
const bits = fc.array(fc.boolean(), { minLength: 1, maxLength: 70 }).map((set) => {
  const made = new Bits(set.length);
  set.forEach((on, place) => on && made.set(place));
  return made;
});

/** Sends the array in binary, and has each element back as text. */
async function throughPostgres(type: string, array: Buffer): Promise<(string | null)[]> {
  const { rows } = await client.query<{ element: string | null }>({
    text: `select element::text from unnest($1::${type}[]) with ordinality as u (element, place) order by place`, values: [array],
  });
  return rows.map(({ element }) => element);
}

const cases: [string, string, fc.Arbitrary<unknown>, (values: never[]) => Buffer, (value: never) => string | null][] = [
  ['whole numbers of two bytes', 'int2', fc.option(fc.integer({ min: -32_768, max: 32_767 })), binary.int2Array, (value) => (value === null ? null : String(value))],
  ['whole numbers of four bytes', 'int4', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), binary.int4Array, String],
  ['whole numbers of eight bytes', 'int8', fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })), binary.int8Array, (value) => (value === null ? null : String(value))],
  ['text', 'text', fc.option(word), binary.textArray, (value) => value],
  ['bytes', 'bytea', fc.option(fc.uint8Array({ maxLength: 60 })), binary.byteaArray, (value) => (value === null ? null : `\\x${Buffer.from(value).toString('hex')}`)],
  ['UUIDs', 'uuid', fc.uuid(), binary.uuidArray, (value) => value],
  ['bit strings', 'varbit', bits, binary.varbitArray, String],
];

for (const [name, type, element, encode, text] of cases) {
  test(`arrays of ${name}, empty ones and those with gaps`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(element, { maxLength: 30 }), async (values) => {
        t.deepEqual(await throughPostgres(type, encode(values as never[])), (values as never[]).map(text));
      }),
      { plugins: [fc.interruptAfterTimeLimit(PROPERTY_MS / 2)], numRuns: 200 },
    );
  });
}

test('moments, to the millisecond', async (t) => {
  const moments = [Date.UTC(2026, 10, 22, 10, 30, 15, 123), 0, Date.UTC(1999, 11, 31), null, Date.UTC(2999, 0, 1)];
  const { rows } = await client.query<{ ms: string | null }>({
    text: 'select extract(epoch from element) * 1000 as ms from unnest($1::timestamptz[]) with ordinality as u (element, place) order by place',
    values: [binary.timestampArray(moments)],
  });
  t.deepEqual(rows.map(({ ms }) => (ms === null ? null : Number(ms))), moments);
});
