import { availableParallelism, cpus, totalmem } from 'node:os';
import type { ServerSettings } from '../database/durability.ts';
import type { Contestant } from '../contestant.ts';

/** What the figures were taken on. */
export interface Surroundings {
  node: string;
  cpu: string;
  cores: number;
  memoryGiB: number;
  server: ServerSettings;
  contestants: { name: string; version: string; presets: { flood: string; trickle?: string }; outcomes: string }[];
}

export function describeSurroundings(server: ServerSettings, contestants: Contestant[]): Surroundings {
  return {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    server,
    contestants: contestants.map((contestant) => ({ name: contestant.name, ...contestant.describe() })),
  };
}

/** A few lines for the head of the output. */
export function renderSurroundings({ node, cpu, cores, memoryGiB, server, contestants }: Surroundings): string {
  const { server_version: version, ...settings } = server;
  const lines = [
    `Node ${node}, ${cores} cores (${cpu.trim()}), ${memoryGiB} GiB`,
    `PostgreSQL ${version}: ${Object.entries(settings).map(([name, value]) => `${name}=${value}`).join(' ')}`,
  ];
  for (const { name, version: contestantVersion, presets, outcomes } of contestants) {
    lines.push(`${name} ${contestantVersion}; outcomes ${outcomes}`, `  flood:   ${presets.flood}`);
    if (presets.trickle !== undefined) lines.push(`  trickle: ${presets.trickle}`);
  }
  return lines.join('\n');
}
