import { join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { PROJECT } from './imports.ts';
import { startProcess, type TestProcess } from './processes.ts';

/** What `npm start` gives to Node. */
const NODE_FLAGS = packageJson.scripts.start.split(' ').filter((word) => word.startsWith('--'));

/** A first start with an embedded database runs initdb and the migrations, perhaps beside other tests. */
const READY_DEADLINE_MS = 60_000;

export interface TestCoordinator extends TestProcess {
  coordinatorId: string;
  /** host:port, as its ready line gives it. */
  grpcAddress: string;
  httpAddress: string;
  /** The file with the connection URL, when the coordinator runs its own PostgreSQL. */
  databaseUrlFile: string | undefined;
}

interface ReadyLine {
  event?: string;
  coordinator_id: string;
  grpc_address: string;
  http_address: string;
  database_url_file?: string;
}

/**
 * Starts a real coordinator in a process of its own, on free ports, and waits until it says that it is ready.
 * Without `databaseUrl` it runs an embedded PostgreSQL; `environment` must then have a SKIPLEASE_DATA_DIR.
 */
export async function startCoordinator(options: {
  databaseUrl?: string;
  environment?: Record<string, string>;
  /** Another tree than this one: a copy that was changed (tree_copy.ts). */
  projectFolder?: string;
}): Promise<TestCoordinator> {
  const main = join(options.projectFolder ?? PROJECT, 'coordinator', 'main.ts');
  const running = await startProcess(process.execPath, [...NODE_FLAGS, main], {
    env: {
      ...process.env,
      DATABASE_URL: options.databaseUrl ?? '',
      SKIPLEASE_GRPC_ADDRESS: '127.0.0.1:0',
      SKIPLEASE_HTTP_ADDRESS: '127.0.0.1:0',
      // Who is where, tests say themselves; those of rebalancing switch it on.
      SKIPLEASE_REBALANCE_MS: '0',
      ...options.environment,
    },
  });
  try {
    const line = await running.line((text) => parse(text)?.event === 'ready', READY_DEADLINE_MS, 'the coordinator to be ready');
    const ready = parse(line)!;
    return {
      ...running,
      coordinatorId: ready.coordinator_id,
      grpcAddress: ready.grpc_address,
      httpAddress: ready.http_address,
      databaseUrlFile: ready.database_url_file,
    };
  } catch (error) {
    running.kill('SIGKILL');
    await running.exited;
    throw error;
  }
}

function parse(line: string): ReadyLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as ReadyLine;
  } catch {
    return undefined;
  }
}
