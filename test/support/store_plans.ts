import { startPostgresWire, type PostgresWire } from './store_wire.ts';

/** One run of a statement, as PostgreSQL itself tells of it. */
export interface Plan {
  /** The statement's text, from its beginning. */
  text: string;
  nodes: PlanNode[];
  /** Blocks read in all, from the cache or not. */
  buffers: number;
}

export interface PlanNode {
  type: string;
  relation: string | undefined;
  index: string | undefined;
  /** Rows times loops. */
  rows: number;
}

interface RawNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows'?: number;
  'Actual Loops'?: number;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: RawNode[];
}

/** A database URL whose connections tell how each statement was carried out. */
export interface PlanWatch {
  url: string;
  wire: PostgresWire;
  /** The plans since the last call, of statements whose text matches. */
  take(text: RegExp): Plan[];
  close(): Promise<void>;
}

/** Watches by auto_explain, so that whoever connects does so with the very settings that are its own. */
export async function watchPlans(databaseUrl: string): Promise<PlanWatch> {
  let plans: Plan[] = [];
  const wire = await startPostgresWire(databaseUrl, (type, body) => {
    if (type === 'N') {
      const message = body.toString('utf8').split('\0').find((field) => field.startsWith('Mduration: '));
      if (message !== undefined) plans.push(planOf(message.slice(message.indexOf('{'))));
    }
    return body;
  });
  const url = new URL(wire.url);
  url.searchParams.set('options', [
    'session_preload_libraries=auto_explain', 'auto_explain.log_min_duration=0', 'auto_explain.log_level=warning', 'auto_explain.log_format=json',
    'auto_explain.log_analyze=on', 'auto_explain.log_buffers=on', 'auto_explain.log_timing=off',
  ].map((setting) => `-c ${setting}`).join(' '));
  return {
    url: url.href,
    wire,
    take: (text) => {
      const taken = plans.filter((plan) => text.test(plan.text));
      plans = [];
      return taken;
    },
    close: () => wire.close(),
  };
}

function planOf(json: string): Plan {
  const { 'Query Text': text, Plan: root } = JSON.parse(json) as { 'Query Text': string; Plan: RawNode };
  const nodes: PlanNode[] = [];
  const walk = (node: RawNode): void => {
    nodes.push({
      type: node['Node Type'], relation: node['Relation Name'], index: node['Index Name'], rows: (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 0),
    });
    node.Plans?.forEach(walk);
  };
  walk(root);
  return { text, nodes, buffers: (root['Shared Hit Blocks'] ?? 0) + (root['Shared Read Blocks'] ?? 0) };
}
