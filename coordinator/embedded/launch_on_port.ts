import { EmbeddedPostgresError } from './errors.ts';
import { findFreePort, isPortFree } from './port.ts';
import { launch, PortTakenError, type Launch } from './server.ts';

/** How often a start is tried again when others keep taking the free port that was just found. */
const TRIES_MAX = 5;

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
      return { pid: await launch({ ...options, port: wantedPort }), port: wantedPort };
    } catch (error) {
      if (!(error instanceof PortTakenError)) throw error;
      throw new EmbeddedPostgresError('PORT_TAKEN', `Port ${wantedPort} on 127.0.0.1 is taken by another program.`, error);
    }
  }
  for (let tries = 1; ; tries += 1) {
    const port = tries === 1 && lastPort !== undefined && (await isPortFree(lastPort)) ? lastPort : await findFreePort();
    try {
      return { pid: await launch({ ...options, port }), port };
    } catch (error) {
      if (!(error instanceof PortTakenError) || tries === TRIES_MAX) throw error;
    }
  }
}
