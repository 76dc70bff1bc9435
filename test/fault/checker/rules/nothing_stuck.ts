import type { Rule } from '../violation.ts';

export const nothingStuck: Rule = {
  name: 'nothing stuck',
  holds: 'within a bound after the last fault every job is final, every batch finished, and nothing of them is left in the tables of what waits and runs',
  *check({ jobs, rows }) {
    for (const { id, row, outcome } of jobs.values()) {
      if (row !== undefined && outcome === undefined) yield { jobId: id, what: 'is not final' };
    }
    for (const { id, finished } of rows.batch) if (!finished) yield { jobId: undefined, what: `batch ${id} is not finished` };
    for (const { table, count } of rows.left) if (count > 0) yield { jobId: undefined, what: `${count} rows are left in ${table}` };
  },
};
