import test from 'ava';
import { importsOf, parseImports, sourceCode, sourceFiles } from '../support/imports.ts';

/** Files of the coordinator that all rooms may use; they know of no room. */
const LEAVES = new Set(['bits', 'clock', 'config', 'errors', 'exposure', 'job_bytes', 'limits', 'parse_json', 'types'].map((name) => `coordinator/${name}.ts`));

/**
 * What each room of the coordinator may import of the others: rpc -> engine -> store, never back. The engine is handed
 * its store and knows only the type of it; the words that they share (a job, a queue) stand beside them.
 */
const ROOMS: Record<string, { values: string[]; types: string[] }> = {
  rpc: { values: ['engine', 'store', 'observe', 'security'], types: [] },
  engine: { values: ['observe'], types: ['store', 'wakeups'] },
  store: { values: [], types: ['observe'] },
  wakeups: { values: ['store'], types: ['observe'] },
  observe: { values: [], types: ['engine', 'store', 'security'] },
  security: { values: [], types: ['observe'] },
  embedded: { values: [], types: [] },
};

/** The room of a file, `coordinator/engine/session.ts` -> `engine`; undefined for the files that wire the rooms together. */
function roomOf(file: string): string | undefined {
  const [top, room, rest] = file.split('/');
  return top === 'coordinator' && rest !== undefined ? room : undefined;
}

test('the parser of imports sees every form of them', (t) => {
  t.deepEqual(
    parseImports(
      [
        "import './bare.ts';",
        "import a from './default.ts';",
        "import type { B } from './type.ts';",
        "import { type C, type D } from './all_types.ts';",
        "import { type E, f } from './some_types.ts';",
        "import {\n  g,\n  h,\n} from './lines.ts';",
        "export * from './star.ts';",
        "export type { I } from './export_type.ts';",
        "export const text = 'not an import';",
        "export function j(k = 'default') {}",
        "const l = await import('./dynamic.ts');",
      ].join('\n'),
    ),
    [
      { specifier: './bare.ts', typeOnly: false },
      { specifier: './default.ts', typeOnly: false },
      { specifier: './type.ts', typeOnly: true },
      { specifier: './all_types.ts', typeOnly: true },
      { specifier: './some_types.ts', typeOnly: false },
      { specifier: './lines.ts', typeOnly: false },
      { specifier: './star.ts', typeOnly: false },
      { specifier: './export_type.ts', typeOnly: true },
      { specifier: './dynamic.ts', typeOnly: false },
    ],
  );
});

test('the rooms of the coordinator import inward only', async (t) => {
  const files = await sourceFiles('coordinator');
  for (const room of Object.keys(ROOMS)) t.true(files.some((file) => roomOf(file) === room), `${room} is a room`);
  const wrong: string[] = [];
  for (const file of files) {
    const from = roomOf(file);
    for (const { to, typeOnly } of await importsOf(file)) {
      if (LEAVES.has(file) && !LEAVES.has(to)) wrong.push(`${file}, which all rooms use, imports ${to}`);
      if (from === undefined || from === roomOf(to) || to.startsWith('proto/') || LEAVES.has(to)) continue;
      const allowed = ROOMS[from];
      t.truthy(allowed, `${file}: the room ${from} has no rule here`);
      const target = roomOf(to)!;
      if (allowed!.values.includes(target) || (typeOnly && allowed!.types.includes(target))) continue;
      wrong.push(`${file} imports ${typeOnly ? 'a type' : 'a value'} from ${to}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('engine and store know nothing of gRPC', async (t) => {
  for (const file of await sourceFiles('coordinator')) {
    if (!['engine', 'store'].includes(roomOf(file)!)) continue;
    for (const { specifier } of parseImports(await sourceCode(file))) {
      t.notRegex(specifier, /@grpc\/|proto\/gen\//, `${file} imports ${specifier}`);
    }
  }
});

test('the worker never imports the coordinator, nor the other way, and nothing imports test', async (t) => {
  for (const [folder, forbidden] of [
    ['coordinator', /^(worker|test)\//],
    ['worker', /^(coordinator|test)\//],
    ['proto/gen', /^(coordinator|worker|test)\//],
  ] as const) {
    for (const file of await sourceFiles(folder)) {
      for (const { to } of await importsOf(file)) t.notRegex(to, forbidden, `${file} imports ${to}`);
    }
  }
});

test('the environment is read in one place', async (t) => {
  const readers = new Set(['coordinator/main.ts', 'coordinator/config.ts']);
  for (const file of [...(await sourceFiles('coordinator')), ...(await sourceFiles('worker'))]) {
    // The programs of the demo are mains of their own; the worker library takes options.
    if (readers.has(file) || file.startsWith('worker/payments/')) continue;
    t.notRegex(await sourceCode(file), /\bprocess\s*\.\s*env\b|\benv\b.*from 'node:process'/, `${file} reads the environment`);
  }
});

test('SQL stands in the store, where workers call its functions, and in the ledger of the demo', async (t) => {
  const homes = [
    'coordinator/store/',
    // Runs the server itself: its role and its first database, before there is anything of ours in it.
    'coordinator/embedded/',
    'worker/payments/',
    // Calls the functions of an application's own transaction, and nothing else.
    'worker/database/',
  ];
  for (const file of [...(await sourceFiles('coordinator')), ...(await sourceFiles('worker'))]) {
    if (homes.some((home) => file.startsWith(home))) continue;
    t.is(findSql(await sourceCode(file)), undefined, file);
  }
  // The search finds what it is for.
  t.truthy(findSql('pool.query(`\n  select id from skiplease.job`)'));
  t.truthy(findSql("client.query('INSERT INTO t VALUES (1)')"));
  t.is(findSql("throw new Error('select a queue from the list')"), undefined);
});

/** A string that begins like a statement. */
function findSql(code: string): string | undefined {
  const statement =
    /['"`]\s*(?:select\s+(?:[\w.*,()'$\s]+?)\s+from\s+[\w.]+(?:\s*$|\s*[`'"]|\s+(?:where|order|limit|join|as|for|group))|insert\s+into\s|delete\s+from\s|update\s+[\w."]+\s+set\s|truncate\s+\w|(?:create|alter|drop)\s+(?:table|index|schema|database|role|function|type)\b|with\s+\w+\s+as\s+(?:materialized\s+)?\(|listen\s+\w+[`'"]|notify\s+\w+|(?:begin|commit|rollback)\s*;?[`'"])/i;
  return statement.exec(code)?.[0];
}
