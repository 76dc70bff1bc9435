import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free_port.ts';
import { startProcess } from './processes.ts';
import { testRunFolder } from './run_folder.ts';

const READY_DEADLINE_MS = 20_000;
const RULES = new URL('../../deploy/prometheus/', import.meta.url).pathname;

export function hasPrometheus(): boolean {
  return spawnSync('prometheus', ['--version']).status === 0;
}

/** One series of an answer: its labels, and the time and value as Prometheus writes them. */
export interface Series {
  metric: Record<string, string>;
  value: [number, string];
}

export interface Rule {
  name: string;
  query: string;
  health: string;
  lastError?: string;
  state?: string;
}

export interface PrometheusServer {
  url: string;
  /** What an instant query finds now; throws what Prometheus says of a wrong one. */
  query(expression: string): Promise<Series[]>;
  rules(): Promise<Rule[]>;
  stop(): Promise<void>;
}

/** A Prometheus on loopback that scrapes these addresses as the job `skiplease`, with the rules of deploy/prometheus. */
export async function startPrometheus(targets: string[], scrapeInterval = '500ms'): Promise<PrometheusServer> {
  const folder = await mkdtemp(join(await testRunFolder(), 'prometheus-'));
  const address = `127.0.0.1:${await freePort()}`;
  const configuration = {
    global: { scrape_interval: scrapeInterval, scrape_timeout: scrapeInterval, evaluation_interval: '500ms' },
    rule_files: [`${RULES}recording_rules.yml`, `${RULES}alerts.yml`],
    scrape_configs: [{ job_name: 'skiplease', static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(configuration));
  const running = await startProcess('prometheus', [
    `--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${address}`,
  ], {});
  const stop = async () => {
    await running.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await running.line((text) => text.includes('ready to receive web requests'), READY_DEADLINE_MS, 'Prometheus to be ready');
  } catch (error) {
    await stop();
    throw error;
  }
  const ask = async <Data>(path: string, parameters: Record<string, string>): Promise<Data> => {
    const response = await fetch(`http://${address}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
    const answer = (await response.json()) as { data: Data; error?: string };
    if (answer.error !== undefined) throw new Error(`${answer.error}: ${parameters.query}`);
    return answer.data;
  };
  return {
    url: `http://${address}`,
    query: async (expression) => (await ask<{ result: Series[] }>('query', { query: expression })).result,
    rules: async () => (await ask<{ groups: { rules: Rule[] }[] }>('rules', {})).groups.flatMap(({ rules }) => rules),
    stop,
  };
}
