/** Reads deploy/prometheus and deploy/grafana, as far as tests need: which expressions there are, and what they name. */
import { readdir, readFile } from 'node:fs/promises';

const DEPLOY = new URL('../../deploy/', import.meta.url);

export interface Panel {
  dashboard: string;
  title: string;
  expressions: string[];
}

interface Dashboard {
  title: string;
  panels: { title: string; targets: { expr: string }[] }[];
}

/** Of every dashboard. */
export async function readPanels(): Promise<Panel[]> {
  const folder = new URL('grafana/dashboards/', DEPLOY);
  const dashboards = await Promise.all((await readdir(folder)).map(async (name) => JSON.parse(await readFile(new URL(name, folder), 'utf8')) as Dashboard));
  return dashboards.flatMap(({ title, panels }) => panels.map((panel) => ({
    dashboard: title, title: panel.title, expressions: panel.targets.map(({ expr }) => expr),
  })));
}

/** A recording rule or an alert; `text` is the whole of it in the file. */
export interface RuleText {
  kind: 'record' | 'alert';
  name: string;
  expression: string;
  text: string;
}

export async function readRules(): Promise<RuleText[]> {
  const files = await Promise.all(['recording_rules.yml', 'alerts.yml'].map((name) => readFile(new URL(`prometheus/${name}`, DEPLOY), 'utf8')));
  return files.flatMap((file) => file.split(/^ {6}- (?=record:|alert:)/m).slice(1)).map((text) => {
    const [, kind, name] = /^(record|alert): (\S+)/.exec(text)!;
    const [, folded, line] = /expr: (?:>-\n((?: {10}.*\n)+)|(.*))/.exec(text)!;
    return { kind: kind as RuleText['kind'], name: name!, expression: (folded ?? line)!.trim(), text };
  });
}

export interface Selector {
  metric: string;
  labels: string[];
}

const KEYWORDS = new Set(['and', 'or', 'unless', 'bool']);

/** The metrics that an expression names, each with the labels that it is selected by. */
export function selectorsOf(expression: string): Selector[] {
  const bare = expression.replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ').replaceAll(/\[[^\]]*\]/g, ' ');
  return [...bare.matchAll(/([A-Za-z_:][\w:]*)\s*(\{[^}]*\}|\(|)|"[^"]*"/g)].flatMap(([, metric, rest]) =>
    metric === undefined || rest === '(' || KEYWORDS.has(metric) ? []
      : [{ metric, labels: [...(rest ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map((match) => match[1]!) }]);
}

/** The labels that an expression groups by. */
export function groupedBy(expression: string): string[] {
  return [...expression.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap((match) => match[1]!.split(',').map((label) => label.trim()));
}
