import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import type { ServerSettings } from '../database/durability.ts';
import type { Contestant } from '../contestant.ts';

/** What the figures were taken on. */
export interface Surroundings {
  node: string;
  cpu: string;
  cores: number;
  memoryGiB: number;
  /** Processes that wanted to run in the last minute before the benchmark: other work on the machine. */
  load: number;
  server: ServerSettings;
  contestants: { name: string; version: string; presets: { flood: string; trickle?: string }; outcomes: string }[];
}

export function describeSurroundings(server: ServerSettings, contestants: Contestant[]): Surroundings {
  return {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg()[0]!,
    server,
    contestants: contestants.map((contestant) => ({ name: contestant.name, ...contestant.describe() })),
  };
}

/** A few lines for the head of the output. */
export function renderSurroundings(surroundings: Surroundings): string {
  const { node, cpu, cores, memoryGiB, load, server, contestants } = surroundings;
  const { server_version: version, ...settings } = server;
  const lines = [
    `Node ${node}, ${cores} cores (${cpu.trim()}), ${memoryGiB} GiB, load ${load.toFixed(1)} at the start`,
    `PostgreSQL ${version}: ${Object.entries(settings).map(([name, value]) => `${name}=${value}`).join(' ')}`,
  ];
  if (load > cores / 2) lines.push('Something else keeps this machine busy: these figures are worth little.');
  for (const { name, version: contestantVersion, presets, outcomes } of contestants) {
    lines.push(`${name} ${contestantVersion}; outcomes ${outcomes}`, `  flood:   ${presets.flood}`);
    if (presets.trickle !== undefined) lines.push(`  trickle: ${presets.trickle}`);
  }
  return lines.join('\n');
}
