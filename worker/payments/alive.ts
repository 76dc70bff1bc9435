/** What a health check looks at: a file that is touched for as long as the event loop turns. */
import { writeFileSync } from 'node:fs';

/** A health check should allow for a few times this: milliseconds. */
const TOUCH_MS = 5_000;

/** Touches SKIPLEASE_ALIVE_FILE from now on, if there is one, without keeping the process from its end. */
export function stayAlive(environment: NodeJS.ProcessEnv): void {
  const file = environment['SKIPLEASE_ALIVE_FILE'];
  if (!file) return;
  const touch = () => {
    try {
      writeFileSync(file, '');
    } catch (error) {
      // Work goes on; who looks at the file takes this process for dead.
      clearInterval(timer);
      console.error(`SKIPLEASE_ALIVE_FILE cannot be written: ${(error as Error).message}`);
    }
  };
  const timer = setInterval(touch, TOUCH_MS).unref();
  touch();
}
