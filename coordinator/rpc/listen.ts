import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { formatAddress } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { SkipleaseError } from '../errors.ts';

// What the library would print beside it comes as an error to whoever called.
setLogVerbosity(logVerbosity.NONE);

/** Takes the port. FAILED_PRECONDITION when it cannot be had, with the setting that says which. */
export function bind(server: Server, address: ListenAddress, credentials: ServerCredentials, setting: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), credentials, (error, port) => {
      if (error === null) {
        resolve(port);
      } else {
        const taken = error.message.includes('EADDRINUSE');
        reject(new SkipleaseError('FAILED_PRECONDITION', `${setting.replace('SKIPLEASE_', '')}_UNUSABLE`,
          `Cannot serve gRPC on ${formatAddress(address)}: ${taken ? 'the port is taken, perhaps by another coordinator' : error.message}. `
            + `Set ${setting} to another host:port (port 0 takes any free one).`, { cause: error }));
      }
    });
  });
}

/** Lets calls end within the deadline, and cuts off what is left. */
export function shutDown(server: Server, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, deadlineMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
