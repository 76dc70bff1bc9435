import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { handleUnaryCall } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { formatAddress } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { bind, shutDown } from './listen.ts';

export interface ProbeServer {
  address: string;
  stop(): Promise<void>;
}

/** An answer takes no time: whoever still waits for one is let go after this long, in milliseconds. */
const LAST_PROBES_MS = 100;

/** Why no traffic should come here now (starting, draining, database away); undefined: it may. */
type NotReady = () => string | undefined;

/**
 * grpc.health.v1.Health on a port of its own, without TLS or credentials, for the probes of Kubernetes, which have neither. It answers
 * from the first moment on. `liveness` asks nothing of the database: to kill a coordinator does not bring a database back.
 */
export async function serveProbes(address: ListenAddress, notReady: NotReady): Promise<ProbeServer> {
  const probes: Record<string, () => boolean> = {
    '': () => notReady() === undefined,
    liveness: () => true,
    startup: () => notReady() !== 'starting',
    readiness: () => notReady() === undefined,
  };
  const check: handleUnaryCall<{ service: string }, { status: string }> = (call, callback) => {
    const probe = Object.hasOwn(probes, call.request.service) ? probes[call.request.service] : undefined;
    if (probe === undefined) {
      callback({ code: status.NOT_FOUND, details: `There is no probe ${JSON.stringify(call.request.service)}: ${Object.keys(probes).filter(Boolean).join(', ')}.` });
    } else {
      callback(null, { status: probe() ? 'SERVING' : 'NOT_SERVING' });
    }
  };
  const server = new Server();
  server.addService(service, { check });
  const port = await bind(server, address, ServerCredentials.createInsecure(), 'SKIPLEASE_HEALTH_ADDRESS');
  return { address: formatAddress({ host: address.host, port }), stop: () => shutDown(server, LAST_PROBES_MS) };
}
