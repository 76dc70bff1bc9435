/**
 * A payment intent, as a row of the file has it and as a job carries it. The job's payload is the row as JSON, so that a
 * payment can also be typed by hand; the exact amount is taken from its text wherever it is needed.
 */
import { AmountError, parseAmount } from './currency.ts';

/** The columns that a file must have, in any order; others are passed over. */
export const intentColumns = [
  'reference', 'created', 'merchant', 'customer', 'iban', 'currency', 'amount', 'method', 'token', 'note',
] as const;

export type IntentRow = Record<(typeof intentColumns)[number], string>;

/** What a job of type payment.capture carries. Typed by hand, all but the fields of Payment may be left out. */
export interface IntentPayload extends IntentRow {
  /** Which submit of which file: a UUIDv7. */
  run: string;
  /** Which repetition of the file, from 1. */
  copy: number;
  /** The line that the row begins on, from 1. */
  line: number;
}

/** What the handler works with. */
export interface Payment {
  run: string;
  copy: number;
  line: number;
  reference: string;
  merchant: string;
  iban: string;
  currency: string;
  /** In minor units of the currency: cents, yen, fils. */
  amountMinor: bigint;
  token: string;
}

/** What is wrong with a row or a payload, in words for whoever wrote it. */
export class IntentError extends Error {}

const charactersMax: Readonly<Record<string, number>> = { reference: 100, merchant: 200 };
const charactersMaxOtherwise = 2000;
const mayBeEmpty: ReadonlySet<string> = new Set(['customer', 'note']);

function checkText(column: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw new IntentError(`${column} is missing or not text`);
  const max = charactersMax[column] ?? charactersMaxOtherwise;
  if (value.length > max) throw new IntentError(`${column} is longer than ${max} characters`);
  if (value === '' && !mayBeEmpty.has(column)) throw new IntentError(`${column} is empty`);
  if (value.includes('\uFFFD')) throw new IntentError(`${column} is not UTF-8`);
  // Line breaks and tabs are text. Other control characters are not (and PostgreSQL refuses the first of them).
  if (/[^\P{Cc}\t\n\r]/u.test(value)) throw new IntentError(`${column} has a control character`);
}

function amountOf(amount: string, currency: string): bigint {
  try {
    return parseAmount(amount, currency);
  } catch (error) {
    if (error instanceof AmountError) throw new IntentError(error.message);
    throw error;
  }
}

/**
 * Throws IntentError for a row that cannot be read as a payment. The IBAN's check digits are not judged here: a wrong one
 * is a payment that the handler refuses, not a row that cannot be read.
 */
export function checkRow(row: IntentRow): void {
  for (const column of intentColumns) checkText(column, row[column]);
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(row.created) && !Number.isNaN(Date.parse(row.created));
  if (!isTime) throw new IntentError(`created ${JSON.stringify(row.created.slice(0, 40))} is not a time like 2026-03-02T09:15:00Z`);
  amountOf(row.amount, row.currency);
}

/** A job's payload as a payment. Throws IntentError. */
export function paymentOf(payload: unknown): Payment {
  if (typeof payload !== 'object' || payload === null) throw new IntentError('the payload is not a JSON object');
  const { run = 'by-hand', copy = 1, line = 0, reference, merchant, iban, currency, amount, token } = payload as Record<string, unknown>;
  checkText('run', run);
  checkText('reference', reference);
  checkText('merchant', merchant);
  checkText('iban', iban);
  checkText('currency', currency);
  checkText('amount', amount);
  checkText('token', token);
  if (!Number.isSafeInteger(copy) || !Number.isSafeInteger(line)) throw new IntentError('copy or line is not a whole number');
  return { run, copy: copy as number, line: line as number, reference, merchant, iban, currency, amountMinor: amountOf(amount, currency), token };
}
