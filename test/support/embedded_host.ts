/**
 * A process that runs an embedded PostgreSQL as a coordinator does: `embedded_host.ts DATA_FOLDER`. Prints one line of
 * JSON when the server is there, or when it could not be had (and exits 1). SIGTERM and SIGINT stop it cleanly.
 */
import { EmbeddedPostgresError, startEmbeddedPostgres } from '../../coordinator/embedded/index.ts';

const dataFolder = process.argv[2];
if (dataFolder === undefined) throw new Error('usage: embedded_host.ts DATA_FOLDER');

let interrupted = false;
let interrupt: () => void = () => undefined;
const untilInterrupted = new Promise<void>((resolve) => (interrupt = resolve));
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    interrupted = true;
    interrupt();
  });
}

try {
  const { url, pid, port, adopted, postgresFolder, stop } = await startEmbeddedPostgres({ dataFolder });
  console.log(JSON.stringify({ url, pid, port, adopted, postgresFolder }));
  const keepAlive = setInterval(() => undefined, 60_000);
  if (!interrupted) await untilInterrupted;
  clearInterval(keepAlive);
  await stop();
} catch (error) {
  if (!(error instanceof EmbeddedPostgresError)) throw error;
  console.log(JSON.stringify({ code: error.code, message: error.message }));
  process.exitCode = 1;
}
