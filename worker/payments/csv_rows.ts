/**
 * Reads a CSV file as a stream, in constant memory. csv-parse takes each row apart. What is added here is that a row
 * which breaks the rules of CSV costs only itself: a quote left open spoils the line it stands on, not the rest of the file.
 */
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse/sync';

/** A row may spread over several lines (line breaks inside quotes), but not over more characters than this. */
const rowCharactersMax = 65_536;

/** One row: its fields, or what is wrong with it. `line` is the line that it begins on, counted from 1. */
export type CsvRow = { line: number; fields: string[] } | { line: number; problem: string };

/** Lines without their `\n`. A line of endless length is cut (and its row refused), so that memory stays bounded. */
async function* readLines(path: string): AsyncGenerator<string> {
  let rest = '';
  let first = true;
  for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop()!.slice(0, rowCharactersMax + 1);
    for (const line of lines) {
      yield first ? line.replace(/^\uFEFF/, '') : line;
      first = false;
    }
  }
  if (rest !== '') yield first ? rest.replace(/^\uFEFF/, '') : rest;
}

/** In a well-formed row quotes come in pairs, so a row goes on over the end of a line exactly while their number is odd. */
function quoteIsOpen(text: string): boolean {
  let open = false;
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) open = !open;
  return open;
}

function parseRow(text: string): { fields: string[] } | { problem: string } {
  // csv-parse (7.0.3) takes a NUL behind a quote for the end of the text. Any control character is refused later on, so another one will do.
  const withoutNul = text.replaceAll('\u0000', '\u0001');
  try {
    const [fields = ['']] = parse(withoutNul.replace(/\r$/, ''), { relax_column_count: true, record_delimiter: ['\n'] });
    return { fields };
  } catch {
    return { problem: 'a quote inside a field that is not quoted, or not doubled' };
  }
}

/** The rows of the file, in order; empty lines are passed over. Throws what opening or reading the file throws. */
export async function* readCsvRows(path: string): AsyncGenerator<CsvRow> {
  const source = readLines(path);
  /** Lines that were looked at for an open quote and turned out to be rows of their own. */
  const handedBack: string[] = [];
  const nextLine = async (): Promise<string | undefined> => {
    const line = handedBack.shift();
    if (line !== undefined) return line;
    const read = await source.next();
    return read.done === true ? undefined : read.value;
  };

  for (let line = 1; ;) {
    const first = await nextLine();
    if (first === undefined) return;
    const followers: string[] = [];
    let text = first;
    let open = quoteIsOpen(first);
    while (open && text.length <= rowCharactersMax) {
      const follower = await nextLine();
      if (follower === undefined) break;
      followers.push(follower);
      text += `\n${follower}`;
      open = quoteIsOpen(follower) !== open;
    }
    const row = text.length > rowCharactersMax ? { problem: `longer than ${rowCharactersMax} characters` }
      : open ? { problem: 'a quote is left open' }
      : parseRow(text);
    if ('problem' in row) {
      // Only this line is given up: those after it are read as rows of their own.
      handedBack.unshift(...followers);
      yield { line, problem: row.problem };
      line += 1;
    } else {
      if (text !== '' && text !== '\r') yield { line, fields: row.fields };
      line += 1 + followers.length;
    }
  }
}
