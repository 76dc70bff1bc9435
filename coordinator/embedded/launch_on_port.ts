import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgresError } from './errors.ts';
import { findFreePort, isPortFree } from './port.ts';
import { launch, PortTakenError, RemainsError, type Launch } from './launch.ts';
import { LOOK_INTERVAL_MS } from './server.ts';

/** How often a start is tried again when others keep taking the free port that was just found. */
const TRIES_MAX = 5;

/** How long the children of a killed server may take to notice that and end. */
const REMAINS_DEADLINE_MS = 20_000;

/** A server that takes connections. */
export interface Running {
  pid: number;
  port: number;
}

/**
 * Starts the server on the port that was asked for, or else on that of the last start (so that a URL somebody noted
 * down stays good), or else on any free one.
 */
export async function launchOnPort(
  options: Omit<Launch, 'port'>,
  wantedPort: number | undefined,
  lastPort: number | undefined,
): Promise<Running> {
  if (wantedPort !== undefined) {
    try {
      if (!(await isPortFree(wantedPort))) throw new PortTakenError();
      return { pid: await launchWhenAlone({ ...options, port: wantedPort }), port: wantedPort };
    } catch (error) {
      if (!(error instanceof PortTakenError)) throw error;
      throw new EmbeddedPostgresError('PORT_TAKEN', `Port ${wantedPort} on 127.0.0.1 is taken by another program.`, error);
    }
  }
  for (let tries = 1; ; tries += 1) {
    const port = tries === 1 && lastPort !== undefined && (await isPortFree(lastPort)) ? lastPort : await findFreePort();
    try {
      return { pid: await launchWhenAlone({ ...options, port }), port };
    } catch (error) {
      if (!(error instanceof PortTakenError) || tries === TRIES_MAX) throw error;
    }
  }
}

async function launchWhenAlone(options: Launch): Promise<number> {
  const deadline = performance.now() + REMAINS_DEADLINE_MS;
  for (;;) {
    try {
      return await launch(options);
    } catch (error) {
      if (!(error instanceof RemainsError)) throw error;
      if (performance.now() > deadline) throw new EmbeddedPostgresError('START_FAILED', error.message, error);
      await delay(LOOK_INTERVAL_MS);
    }
  }
}
