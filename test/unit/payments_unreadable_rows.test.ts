import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { readExpected } from '../../worker/payments/expected.ts';
import { IntentFileError, readIntentFile, type FileRow } from '../../worker/payments/intent_file.ts';

const folder = mkdtempSync(join(tmpdir(), 'skiplease-intents-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const header = 'reference,created,merchant,customer,iban,currency,amount,method,token,note';
const row = (reference: string, changes: { amount?: string; currency?: string; note?: string; merchant?: string; created?: string } = {}): string =>
  `${reference},${changes.created ?? '2026-03-02T09:15:00Z'},${changes.merchant ?? 'Blue Door Books'},Zoë,DE89370400440532013000,`
  + `${changes.currency ?? 'EUR'},${changes.amount ?? '12.50'},card,tok_visa,${changes.note ?? ''}`;

let files = 0;
async function read(text: string | Buffer): Promise<{ rows: FileRow[]; problems: [number, string][]; references: string[] }> {
  const path = join(folder, `${files += 1}.csv`);
  writeFileSync(path, text);
  const rows: FileRow[] = [];
  for await (const found of readIntentFile(path)) rows.push(found);
  const expected = readExpected(path);
  const good = rows.filter((found) => 'row' in found);
  // Two readers that share no code agree on every line.
  const seen = { lines: good.map(({ line }) => line), bad: rows.filter((found) => 'problem' in found).map(({ line }) => line) };
  const told = { lines: expected.rows.map(({ line }) => line), bad: expected.unreadableLines };
  if (JSON.stringify(seen) !== JSON.stringify(told)) {
    throw new Error(`the readers differ: ${JSON.stringify({ seen, told, text: text.toString() })}`);
  }
  return {
    rows,
    problems: rows.flatMap((found) => ('problem' in found ? [[found.line, found.problem] as [number, string]] : [])),
    references: good.map((found) => found.row.reference),
  };
}

test('a row that cannot be read is named by its line and does not stop the rest', async (t) => {
  const { problems, references } = await read([
    header,
    row('a'),
    row('b', { amount: '12.345' }),
    row('c', { note: '"two\nlines"' }),
    'd,too,few',
    row('e', { currency: 'XXX' }),
    row('f', { merchant: 'a "quote" inside' }),
    row('g', { created: 'yesterday' }),
    row('h', { note: 'a\u0000b' }),
    row(''),
    row('a', { amount: '13.00' }),
    row('a'),
    '',
    row('z'),
  ].join('\n'));
  t.deepEqual(references, ['a', 'c', 'a', 'z']);
  t.deepEqual(problems.map(([line]) => line), [3, 6, 7, 8, 9, 10, 11, 12]);
  t.deepEqual(problems.map(([, problem]) => problem), [
    'amount 12.345 has more decimals than EUR (2)',
    '3 columns where the header has 10',
    'unknown currency "XXX"',
    'a quote inside a field that is not quoted, or not doubled',
    'created "yesterday" is not a time like 2026-03-02T09:15:00Z',
    'note has a control character',
    'reference is empty',
    'reference a stands on line 2 for another payment',
  ]);
});

test('a quote left open costs its own line only', async (t) => {
  const { problems, references } = await read([header, row('a'), row('b', { note: '"open' }), row('c'), row('d', { note: '"x"' }), row('e')].join('\n'));
  t.deepEqual(references, ['a', 'c', 'd', 'e']);
  t.deepEqual(problems.map(([line]) => line), [3]);
});

test('a NUL behind a quote does not close the field', async (t) => {
  const { problems, references } = await read([header, row('a'), row('b', { note: '"two\nlines"\u0000' }), row('c'), row('d', { note: '"\u0000two\nlines"' }), row('e')].join('\n'));
  t.deepEqual(references, ['a', 'c', 'e']);
  t.deepEqual(problems.map(([line]) => line), [3, 4, 6]);
});

test('an endless row is given up, and memory stays bounded', async (t) => {
  const { problems, references } = await read([header, row('a', { note: 'x'.repeat(300_000) }), row('b'), row('c', { note: `"${'y\n'.repeat(40_000)}"` })].join('\n'));
  t.deepEqual(references, ['b']);
  t.is(problems[0]?.[0], 2);
  t.is(problems[1]?.[0], 4);
});

test('a byte order mark, Windows line ends, reordered and further columns, and bytes that are not UTF-8', async (t) => {
  const moved = 'more,note,token,method,amount,currency,iban,customer,merchant,created,reference';
  const text = `\uFEFF${moved}\r\n1,"a\r\nb",tok_visa,card,1.00,EUR,DE89370400440532013000,Zoë,Shop,2026-03-02T09:15:00Z,a\r\n`;
  const read1 = await read(text);
  t.deepEqual(read1.references, ['a']);
  const latin = Buffer.from(`${header}\n${row('a')}\n${row('b').replace('Zoë', 'Zo\u00eb')}\n`, 'latin1');
  t.deepEqual((await read(latin)).problems, [[2, 'customer is not UTF-8'], [3, 'customer is not UTF-8']]);
});

test('a file that is not one of payment intents is refused as a whole', async (t) => {
  await t.throwsAsync(() => read(''), { instanceOf: IntentFileError, message: /empty/ });
  await t.throwsAsync(() => read('a,b\n1,2\n'), { instanceOf: IntentFileError, message: /lacks reference/ });
  await t.throwsAsync(() => read('"a\n'), { instanceOf: IntentFileError, message: /line 1/ });
});

test('both readers agree on files that are damaged at random', async (t) => {
  const lines = readFileSync(new URL('../../worker/payments/intents.csv', import.meta.url), 'utf8').split('\n');
  const damage = fc.record({ at: fc.nat(), what: fc.constantFrom('"', '""', '\n', ',', '\r', '\r\n', 'x', '0', '-', '.', '\u0000', '"\u0000', ''), length: fc.nat(3) });
  await fc.assert(fc.asyncProperty(fc.nat(9_000), fc.array(damage, { maxLength: 12 }), async (start, damages) => {
    const whole = lines.slice(start + 1, start + 20).join('\n');
    const damaged = damages.reduce((text, { at, what, length }) => {
      const position = at % (text.length + 1);
      return text.slice(0, position) + what + text.slice(position + length);
    }, whole);
    await t.notThrowsAsync(() => read(`${header}\n${damaged}`));
  }), { numRuns: 300 });
});
