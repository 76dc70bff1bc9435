/**
 * What a file of intents must come to, worked out from its text alone. This is the other half of the check: it shares no
 * parsing code with what the submitter and the handler use (its CSV reader, its amounts and its rules are written here a
 * second time, on purpose), so that one mistake cannot hide itself on both sides. In common are the list of currencies,
 * and ibantools' verdict on an IBAN.
 */
import { readFileSync } from 'node:fs';
import { isValidIBAN } from 'ibantools';
import { minorDigits as supportedCurrencies } from './currency.ts';

export type Fate = 'captured' | 'declined' | 'invalid_iban' | 'gave_up';

/** A row that can be read. Several rows of one reference are one intent: it is captured once, the others are duplicates. */
export interface ExpectedRow {
  line: number;
  reference: string;
  currency: string;
  amountMinor: bigint;
  fate: Fate;
}

export interface ExpectedFile {
  rows: ExpectedRow[];
  /** Lines of the rows that cannot be read. */
  unreadableLines: number[];
}

const rowCharactersMax = 65_536;

/** The fields of the row that begins at `start`, and where it ends; null when it breaks the rules of CSV. */
function readRow(text: string, start: number): { fields: string[]; end: number } | null {
  const fields: string[] = [];
  let at = start;
  for (;;) {
    let field = '';
    if (text[at] === '"') {
      for (at += 1; ; at += 1) {
        if (at >= text.length) return null;
        if (text[at] !== '"') field += text[at];
        else if (text[at + 1] === '"') field += text[++at];
        else break;
      }
      at += 1;
      if (text[at] === '\r' && (text[at + 1] === '\n' || at + 1 === text.length)) at += 1;
      if (at < text.length && text[at] !== ',' && text[at] !== '\n') return null;
    } else {
      const from = at;
      while (at < text.length && text[at] !== ',' && text[at] !== '\n') {
        if (text[at] === '"') return null;
        at += 1;
      }
      field = text.slice(from, at);
      if (text[at] !== ',') field = field.replace(/\r$/, '');
    }
    fields.push(field);
    if (text[at] !== ',') break;
    at += 1;
  }
  return at - start > rowCharactersMax ? null : { fields, end: at };
}

/** Where Unicode's data round to what is paid in cash, ISO 4217 has these. */
const knownDecimals = new Map([['COP', 2], ['HUF', 2], ['IDR', 2], ['IQD', 3]]);

/** Decimals of a currency, from Unicode's data. */
function decimalsOf(currency: string): number {
  const known = knownDecimals.get(currency);
  if (known !== undefined) return known;
  const decimals = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits!;
  knownDecimals.set(currency, decimals);
  return decimals;
}

/** Minor units, or null for what is not an amount of this currency. */
function minorOf(amount: string, currency: string): bigint | null {
  if (!supportedCurrencies.has(currency)) return null;
  const [whole, fraction, ...more] = amount.split('.');
  const digitsOnly = /^[0-9]+$/;
  if (more.length > 0 || !digitsOnly.test(whole!) || (fraction !== undefined && !digitsOnly.test(fraction))) return null;
  if ((whole!.startsWith('0') && whole !== '0') || whole!.length > 15) return null;
  const missing = decimalsOf(currency) - (fraction?.length ?? 0);
  if (missing < 0) return null;
  const minor = BigInt(whole! + (fraction ?? '')) * 10n ** BigInt(missing);
  return minor > 0n ? minor : null;
}

function fateOf(iban: string, token: string): Fate {
  if (!isValidIBAN(iban)) return 'invalid_iban';
  if (token.startsWith('tok_decline_')) return 'declined';
  return token === 'tok_provider_down' ? 'gave_up' : 'captured';
}

const isText = (value: string, min: number, max: number): boolean =>
  value.length >= min && value.length <= max
  && !Array.from(value).some((c) => c === '\uFFFD' || (c < ' ' && !'\t\n\r'.includes(c)) || (c >= '\u007F' && c <= '\u009F'));

function isMoment(created: string): boolean {
  const form = created.replace(/\.\d+/, '').replace(/\d/g, '9');
  return (form === '9999-99-99T99:99:99Z' || /^9999-99-99T99:99:99[+-]99:99$/.test(form)) && Number.isFinite(Date.parse(created));
}

/** Reads the whole file. */
export function readExpected(path: string): ExpectedFile {
  const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  const file: ExpectedFile = { rows: [], unreadableLines: [] };
  const contentOf = new Map<string, string>();
  let header: string[] | undefined;
  let line = 1;
  for (let at = 0; at < text.length;) {
    const row = readRow(text, at);
    const lineEnd = text.indexOf('\n', at);
    const end = row?.end ?? (lineEnd === -1 ? text.length : lineEnd);
    const fields = row?.fields ?? [];
    const begins = line;
    const isEmpty = ['', '\r'].includes(text.slice(at, end));
    line += text.slice(at, end).split('\n').length;
    at = end + 1;
    if (isEmpty) continue;
    if (header === undefined) {
      header = fields;
      continue;
    }
    const of = (column: string): string => fields[header!.indexOf(column)] ?? '';
    const amountMinor = minorOf(of('amount'), of('currency'));
    const readable = fields.length === header.length && isMoment(of('created')) && amountMinor !== null
      && isText(of('reference'), 1, 100) && isText(of('merchant'), 1, 200)
      && ['iban', 'method', 'token'].every((column) => isText(of(column), 1, 2000))
      && ['customer', 'note'].every((column) => isText(of(column), 0, 2000));
    const content = [of('merchant'), of('iban'), of('currency'), amountMinor, of('token')].join('\u0000');
    if (!readable || (contentOf.get(of('reference')) ?? content) !== content) {
      file.unreadableLines.push(begins);
      continue;
    }
    contentOf.set(of('reference'), content);
    file.rows.push({ line: begins, reference: of('reference'), currency: of('currency'), amountMinor, fate: fateOf(of('iban'), of('token')) });
  }
  return file;
}
