import type { FloodKind, FloodResult } from '../scenarios/flood_run.ts';

/** Rows inserted and left dead by table, per job, from the last round: schema and warm-up included. */
export function renderChurn(kind: FloodKind, results: Record<string, FloodResult[]>): string {
  const lines: string[] = [];
  for (const [name, runs] of Object.entries(results)) {
    const last = runs.at(-1);
    if (!last?.churn) continue;
    const jobs = last.jobs + last.warmUpJobs;
    const tables = last.churn
      .map(({ table, inserted, dead }) => ({ table, inserted: inserted / jobs, dead: dead / jobs }))
      .filter(({ inserted, dead }) => inserted >= 0.001 || dead >= 0.001)
      .map(({ table, inserted, dead }) => `${table} ${inserted.toFixed(3)} in, ${dead.toFixed(3)} dead`);
    lines.push(`  ${name.padEnd(16)} ${tables.join('; ')}`);
  }
  return [`rows per job by table, ${kind}:`, ...lines].join('\n');
}
