import { readFileSync } from 'node:fs';
import test from 'ava';
import { isValidIBAN } from 'ibantools';
import { parse } from 'csv-parse/sync';
import { minorDigits } from '../../worker/payments/currency.ts';
import { generateIntents } from '../../worker/payments/generate_intents.ts';

const path = new URL('../../worker/payments/intents.csv', import.meta.url);
const text = readFileSync(path, 'utf8');
const rows = parse(text, { columns: true }) as Record<string, string>[];
const count = (holds: (row: Record<string, string>) => boolean): number => rows.filter(holds).length;

/** ISO 13616 by hand: the check digits are right when the rearranged number leaves 1. */
function checkDigitsHold(iban: string): boolean {
  const digits = (iban.slice(4) + iban.slice(0, 4)).replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55));
  return BigInt(digits) % 97n === 1n;
}

test('the generator writes the checked-in file, byte for byte', (t) => {
  t.true(generateIntents() === text);
});

test('it has 10,000 intents with all that makes a real export difficult', (t) => {
  t.is(rows.length, 10_000);
  for (const digits of [0, 2, 3]) t.true(count((row) => minorDigits.get(row['currency']!) === digits) > 500, `${digits} decimals`);
  t.true(rows.every((row) => (row['amount']!.split('.')[1] ?? '').length === minorDigits.get(row['currency']!)));
  t.true(count((row) => /[\u0100-\uffff]/.test(row['customer']!)) > 1000, 'names beyond Latin');
  t.true(count((row) => row['note']!.includes('\n')) > 100, 'line breaks in quotes');
  t.true(count((row) => row['merchant']!.includes('"')) > 100, 'quotes in quotes');
  t.true(count((row) => row['token']!.startsWith('tok_decline_')) > 100, 'declines');
  t.true(count((row) => row['token']!.startsWith('tok_timeout_')) > 20, 'time-outs');
  t.true(count((row) => row['token'] === 'tok_provider_down') > 5, 'always failing');
  t.is(rows.length - new Set(rows.map((row) => row['reference'])).size, 150, 'duplicates');
});

test('its IBANs have real check digits, save a few', (t) => {
  const wrong = rows.filter((row) => !checkDigitsHold(row['iban']!));
  t.true(wrong.length > 5 && wrong.length < 100);
  t.true(rows.every((row) => isValidIBAN(row['iban']!) === checkDigitsHold(row['iban']!)));
});
