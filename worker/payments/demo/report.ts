/** The table at the end: what the run came to, by currency and outcome. */
import Table from 'cli-table3';
import type pg from 'pg';
import { formatMinor } from '../currency.ts';

/** From the tables that makeAuditTables() left in the session, and the ledger. */
const reportQuery = `
  select j.currency, i.sum_minor,
    count(*) filter (where outcome = 'captured')::integer as captured,
    count(*) filter (where outcome = 'duplicate')::integer as duplicate,
    count(*) filter (where outcome = 'declined')::integer as declined,
    count(*) filter (where outcome = 'invalid_iban')::integer as invalid_iban,
    count(*) filter (where outcome = 'gave_up')::integer as gave_up,
    count(*) filter (where outcome is null or outcome = 'cancelled')::integer as other
  from run_job j
  left join (
    select p.currency, sum(p.amount_minor)::text as sum_minor
    from ledger.intent i join ledger.entry e on e.intent_id = i.id join ledger.posting p on p.entry_id = e.id
    where i.run = $1 and p.account = 'provider' group by p.currency
  ) i on i.currency = j.currency
  group by j.currency, i.sum_minor order by j.currency`;

const outcomes = ['captured', 'duplicate', 'declined', 'invalid_iban', 'gave_up', 'other'] as const;

type ReportRow = { currency: string; sum_minor: string | null } & Record<(typeof outcomes)[number], number>;

const count = (value: number): string => (value === 0 ? '·' : value.toLocaleString('en'));
const sum = (rows: readonly ReportRow[], outcome: (typeof outcomes)[number]): number => rows.reduce((total, row) => total + row[outcome], 0);

/** The table as text. */
export async function reportTable(client: pg.ClientBase, run: string): Promise<string> {
  const { rows } = await client.query<ReportRow>(reportQuery, [run]);
  const withOther = sum(rows, 'other') > 0;
  const heads = ['', 'captured', 'amount', 'duplicate', 'declined', 'bad IBAN', 'gave up', ...(withOther ? ['other'] : [])];
  const line = '─';
  const table = new Table({
    head: heads,
    colAligns: heads.map((_, index) => (index === 0 ? 'left' : 'right')),
    style: { head: [], border: [], 'padding-left': 1, 'padding-right': 1 },
    chars: {
      top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
      left: ' ', 'left-mid': ' ', mid: line, 'mid-mid': line, right: '', 'right-mid': '', middle: ' ',
    },
  });
  const cells = (row: Omit<ReportRow, 'currency' | 'sum_minor'>): string[] =>
    outcomes.filter((outcome) => outcome !== 'captured' && (outcome !== 'other' || withOther)).map((outcome) => count(row[outcome]));
  for (const row of rows) {
    table.push([row.currency, count(row.captured), formatMinor(BigInt(row.sum_minor ?? '0'), row.currency, true), ...cells(row)]);
  }
  const totals = Object.fromEntries(outcomes.map((outcome) => [outcome, sum(rows, outcome)])) as Record<(typeof outcomes)[number], number>;
  table.push(['all', count(totals.captured), '', ...cells(totals)]);
  // Only the lines under the head and above the totals are drawn.
  const lines = table.toString().split('\n');
  return lines.filter((text, index) => !text.includes(line) || index === 1 || index === lines.length - 2).map((text) => text.trimEnd()).join('\n');
}
