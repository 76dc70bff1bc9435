import { ServerCredentials } from '@grpc/grpc-js';
import { formatAddress } from './config.ts';
import type { Settings } from './config.ts';
import { asksWhoCalls } from './exposure.ts';
import type { Log } from './observe/log.ts';
import { CallGuard } from './rpc/call_guard.ts';
import type { StatusMapper } from './rpc/status.ts';
import { tlsCredentials } from './rpc/tls_credentials.ts';
import { Authenticator } from './security/authenticator.ts';
import { openTlsFiles } from './security/tls_files.ts';
import type { Shutdown } from './shutdown.ts';

/** Whoever can connect may do everything: that must not be overlooked. */
export function warnOfExposure(settings: Settings, log: Log): void {
  if (!asksWhoCalls(settings)) {
    log.warn({ event: 'insecure', grpc_address: formatAddress(settings.grpcAddress), insecure: settings.insecure },
      'NOBODY IS ASKED WHO CALLS: whoever reaches the gRPC address may submit, read and cancel every job. Set SKIPLEASE_IDENTITIES_FILE, '
        + 'SKIPLEASE_JWT_KEY_SET or SKIPLEASE_TLS_CLIENT_CA_FILE');
  }
  if (settings.insecure && settings.tlsCertFile === undefined) {
    log.warn({ event: 'insecure', grpc_address: formatAddress(settings.grpcAddress), insecure: true },
      'NO TLS, as SKIPLEASE_INSECURE has it: what callers send, their tokens too, can be read on its way unless something in front of this has TLS');
  }
}

/** With what gRPC is served: TLS where there is a certificate for it. */
export async function openCredentials(
  { tlsCertFile, tlsKeyFile, tlsClientCaFile, identitiesFile, jwtKeySet }: Settings, log: Log, shutdown: Shutdown,
): Promise<ServerCredentials> {
  if (tlsCertFile === undefined) {
    return ServerCredentials.createInsecure();
  }
  const files = await shutdown.step('TLS files',
    () => openTlsFiles({ certFile: tlsCertFile, keyFile: tlsKeyFile!, clientCaFile: tlsClientCaFile }, log), async (opened) => opened.close());
  // Where a token can prove who calls, a certificate need not.
  return tlsCredentials(files, tlsClientCaFile !== undefined && identitiesFile === undefined && jwtKeySet === undefined);
}

/** Who asks callers who they are; undefined: nobody does. */
export async function openGuard(settings: Settings, statuses: StatusMapper, log: Log, shutdown: Shutdown): Promise<CallGuard | undefined> {
  if (!asksWhoCalls(settings)) {
    return undefined;
  }
  const { identitiesFile, jwtKeySet, jwtIssuer, jwtAudience, jwtAlgorithms, jwtClaim } = settings;
  const jwt = jwtKeySet === undefined ? undefined
    : { keySet: jwtKeySet, issuer: jwtIssuer!, audience: jwtAudience!, algorithms: jwtAlgorithms, claim: jwtClaim };
  const authenticator = await shutdown.step('authenticator', () => Authenticator.open({ identitiesFile, jwt }, log), async (opened) => opened.close());
  return shutdown.step('call guard', async () => new CallGuard(authenticator, statuses), async (guard) => guard.close());
}
