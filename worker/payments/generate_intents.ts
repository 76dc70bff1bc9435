/**
 * Writes `intents.csv`, the example file of 10,000 payment intents. It is seeded: running it again writes the identical
 * file. What each intent comes to is decided by its token, as with the test cards of a real processor's sandbox.
 */
import { writeFileSync } from 'node:fs';
import { formatMinor, minorDigits } from './currency.ts';
import { generateIban, mistypeIban } from './generate_iban.ts';
import { familyNames, givenNames, merchants, notes, secondLines, wholeNames } from './generate_words.ts';
import { Random } from './random.ts';

const seed = 20260302;
const rowCount = 10_000;
/** Of rowCount: rows that repeat an earlier one, as a merchant's retry does. */
const duplicateCount = 150;
const firstCreatedMs = Date.parse('2026-03-02T00:00:00Z');

export const columns = ['reference', 'created', 'merchant', 'customer', 'iban', 'currency', 'amount', 'method', 'token', 'note'] as const;

const currencies = [
  ['EUR', 34], ['USD', 21], ['GBP', 10], ['SEK', 6], ['CHF', 4], ['PLN', 3], ['NOK', 2], ['JPY', 7], ['KRW', 4], ['KWD', 3], ['BHD', 3], ['TND', 3],
] as const;

/** What one euro is worth, roughly and as a whole number: only so that amounts look as they do in life. */
const unitsPerEuro: Record<string, number> = { SEK: 11, PLN: 4, NOK: 11, JPY: 160, KRW: 1500, TND: 3 };

const approvedTokens = { card: ['tok_visa', 'tok_mastercard', 'tok_amex'], wallet: ['tok_apple_pay', 'tok_google_pay'], sepa_debit: ['tok_sepa'] };
type Method = keyof typeof approvedTokens;

/** Out of 10,000: how many cards and wallets are declined, time out once or twice, or never get an answer. */
const behaviours = [
  ['approved', 9340], ['tok_decline_insufficient_funds', 270], ['tok_decline_do_not_honor', 130], ['tok_decline_expired_card', 60],
  ['tok_timeout_once', 120], ['tok_timeout_twice', 50], ['tok_provider_down', 30],
] as const;
const mistypedIbanShare = 0.004;

type Row = Record<(typeof columns)[number], string>;

function customer(random: Random): string {
  return random.next() < 0.2 ? random.pick(wholeNames) : `${random.pick(givenNames)} ${random.pick(familyNames)}`;
}

/** Most are small, a few are large; every minor unit occurs. */
function amount(random: Random, currency: string): string {
  const digits = minorDigits.get(currency)!;
  const share = random.next();
  const units = Math.floor((1 + 1400 * share * share * share * share) * (unitsPerEuro[currency] ?? 1));
  const minor = BigInt(units) * 10n ** BigInt(digits) + BigInt(random.between(digits === 0 ? 1 : 0, 10 ** digits - 1));
  return formatMinor(minor === 0n ? 1n : minor, currency);
}

function note(random: Random): string {
  if (random.next() < 0.5) return '';
  const first = `${random.pick(notes)} ${random.between(1000, 99999)}`;
  return random.next() < 0.15 ? `${first}\n${random.pick(secondLines)}` : first;
}

function intent(random: Random, created: string): Row {
  const method = random.weighted<Method>([['card', 62], ['wallet', 22], ['sepa_debit', 16]]);
  const behaviour = method === 'sepa_debit' ? 'approved' : random.weighted(behaviours);
  const iban = generateIban(random);
  const currency = random.weighted(currencies);
  return {
    reference: `pi_${random.text('23456789abcdefghjkmnpqrstuvwxyz', 14)}`,
    created,
    merchant: random.pick(merchants),
    customer: customer(random),
    iban: random.next() < mistypedIbanShare ? mistypeIban(iban, random) : iban,
    currency,
    amount: amount(random, currency),
    method,
    token: behaviour === 'approved' ? random.pick(approvedTokens[method]) : behaviour,
    note: note(random),
  };
}

function csvLine(fields: readonly string[]): string {
  return `${fields.map((field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',')}\n`;
}

/** The whole file as text: a header and 10,000 rows. */
export function generateIntents(): string {
  const random = new Random(seed);
  let createdMs = firstCreatedMs;
  const rows = Array.from({ length: rowCount - duplicateCount }, () => {
    createdMs += random.between(100, 17_000);
    return intent(random, new Date(createdMs).toISOString());
  });
  for (let count = 0; count < duplicateCount; count += 1) {
    const original = random.between(0, rows.length - 1);
    rows.splice(Math.min(original + random.between(1, 400), rows.length), 0, rows[original]!);
  }
  return csvLine(columns) + rows.map((row) => csvLine(columns.map((column) => row[column]))).join('');
}

if (import.meta.main) writeFileSync(new URL('intents.csv', import.meta.url), generateIntents());
