/** Reads a file of payment intents as a stream: the rows that can be submitted, and what is wrong with the others. */
import { createHash } from 'node:crypto';
import { parseAmount } from './currency.ts';
import { readCsvRows } from './csv_rows.ts';
import { checkRow, IntentError, intentColumns, type IntentRow } from './intent.ts';

/** A row that can be submitted, or what is wrong with it. `line` is the line that it begins on, from 1. */
export type FileRow = { line: number; row: IntentRow } | { line: number; problem: string };

/** Says that the file as a whole is not one of payment intents. */
export class IntentFileError extends Error {}

function positionsOf(header: readonly string[]): Map<string, number> {
  const missing = intentColumns.filter((column) => !header.includes(column));
  if (missing.length > 0) throw new IntentFileError(`The header lacks ${missing.join(', ')}. The columns are ${intentColumns.join(', ')}.`);
  return new Map(intentColumns.map((column) => [column, header.indexOf(column)]));
}

/** What must agree between two rows of one reference for them to be the same intent. */
function fingerprint(row: IntentRow): string {
  const same = [row.merchant, row.iban, row.currency, parseAmount(row.amount, row.currency).toString(), row.token];
  return createHash('sha256').update(JSON.stringify(same)).digest('base64').slice(0, 16);
}

/**
 * The rows of the file in order. Throws IntentFileError, and what opening the file throws. Memory grows with the number of
 * references, not with the size of the rows: a second row of a reference must be the same intent (a duplicate, which the
 * ledger catches), since of two different payments under one reference nobody could say which is meant.
 */
export async function* readIntentFile(path: string): AsyncGenerator<FileRow> {
  let positions: Map<string, number> | undefined;
  let columnCount = 0;
  const seen = new Map<string, { line: number; fingerprint: string }>();
  for await (const read of readCsvRows(path)) {
    if ('problem' in read) {
      if (positions === undefined) throw new IntentFileError(`The header (line ${read.line}) is not CSV: ${read.problem}.`);
      yield read;
      continue;
    }
    const { line, fields } = read;
    if (positions === undefined) {
      positions = positionsOf(fields);
      columnCount = fields.length;
      continue;
    }
    if (fields.length !== columnCount) {
      yield { line, problem: `${fields.length} columns where the header has ${columnCount}` };
      continue;
    }
    const row = Object.fromEntries([...positions].map(([column, at]) => [column, fields[at]])) as IntentRow;
    try {
      checkRow(row);
    } catch (error) {
      if (!(error instanceof IntentError)) throw error;
      yield { line, problem: error.message };
      continue;
    }
    const mark = fingerprint(row);
    const earlier = seen.get(row.reference);
    if (earlier !== undefined && earlier.fingerprint !== mark) {
      yield { line, problem: `reference ${row.reference} stands on line ${earlier.line} for another payment` };
      continue;
    }
    if (earlier === undefined) seen.set(row.reference, { line, fingerprint: mark });
    yield { line, row };
  }
  if (positions === undefined) throw new IntentFileError('The file is empty: there is no header.');
}
