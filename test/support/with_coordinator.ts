/**
 * Runs a command beside a real coordinator on a fresh database: `with_coordinator.ts COMMAND [ARGUMENT...]`. The command
 * finds them in SKIPLEASE_TEST_ADDRESS and SKIPLEASE_TEST_DATABASE_URL; its exit code is this program's. For the suites
 * of workers in other languages.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startCoordinator } from './coordinator.ts';
import { createTestDatabase } from './database.ts';

const [command, ...parameters] = process.argv.slice(2);
if (command === undefined) throw new Error('usage: with_coordinator.ts COMMAND [ARGUMENT...]');

const database = await createTestDatabase();
const coordinator = await startCoordinator({ databaseUrl: database.url, environment: { SKIPLEASE_LEASE_TTL_MS: '2000' } });
const child = spawn(command, parameters, {
  stdio: 'inherit',
  env: { ...process.env, SKIPLEASE_TEST_ADDRESS: coordinator.grpcAddress, SKIPLEASE_TEST_DATABASE_URL: database.url },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
const [code] = (await once(child, 'exit')) as [number | null];
process.exitCode = code ?? 1;
await coordinator.stop();
await database.drop();
