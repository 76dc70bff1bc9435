import type { FieldViolation } from './errors.ts';

/** The settings that decide who can reach a coordinator, and what is asked of them. */
export interface Exposure {
  readonly grpcAddress: { host: string };
  readonly httpAddress: { host: string };
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  readonly tlsClientCaFile: string | undefined;
  readonly identitiesFile: string | undefined;
  readonly jwtKeySet: string | undefined;
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: string | undefined;
  readonly httpTokenFile: string | undefined;
  readonly insecure: boolean;
}

/** Whether every caller must prove who it is, and may do what it was granted. */
export function asksWhoCalls({ identitiesFile, jwtKeySet, tlsClientCaFile }: Pick<Exposure, 'identitiesFile' | 'jwtKeySet' | 'tlsClientCaFile'>): boolean {
  return identitiesFile !== undefined || jwtKeySet !== undefined || tlsClientCaFile !== undefined;
}

/** What is missing of what belongs together, and what must not be reachable by strangers as it is set. */
export function exposureProblems(settings: Exposure): FieldViolation[] {
  return [...incomplete(settings), ...(settings.insecure ? [] : exposed(settings))];
}

function incomplete({ tlsCertFile, tlsKeyFile, tlsClientCaFile, jwtKeySet, jwtIssuer, jwtAudience }: Exposure): FieldViolation[] {
  const problems: FieldViolation[] = [];
  const needs = (field: string, given: unknown, when: boolean, why: string) => {
    if (when && given === undefined) {
      problems.push({ field, description: `is missing: ${why} needs it.` });
    }
  };
  needs('SKIPLEASE_TLS_KEY_FILE', tlsKeyFile, tlsCertFile !== undefined, 'SKIPLEASE_TLS_CERT_FILE');
  needs('SKIPLEASE_TLS_CERT_FILE', tlsCertFile, tlsKeyFile !== undefined, 'SKIPLEASE_TLS_KEY_FILE');
  needs('SKIPLEASE_TLS_CERT_FILE', tlsCertFile, tlsClientCaFile !== undefined && tlsKeyFile === undefined, 'SKIPLEASE_TLS_CLIENT_CA_FILE');
  const tokens = jwtKeySet ?? jwtIssuer ?? jwtAudience;
  const others = 'each of SKIPLEASE_JWT_KEY_SET, SKIPLEASE_JWT_ISSUER and SKIPLEASE_JWT_AUDIENCE';
  for (const [field, given] of [['SKIPLEASE_JWT_KEY_SET', jwtKeySet], ['SKIPLEASE_JWT_ISSUER', jwtIssuer], ['SKIPLEASE_JWT_AUDIENCE', jwtAudience]] as const) {
    needs(field, given, tokens !== undefined, others);
  }
  return problems;
}

function exposed(settings: Exposure): FieldViolation[] {
  const { grpcAddress, httpAddress, tlsCertFile, httpTokenFile } = settings;
  const problems: FieldViolation[] = [];
  const missing = [
    ...(tlsCertFile === undefined ? ['TLS (set SKIPLEASE_TLS_CERT_FILE and SKIPLEASE_TLS_KEY_FILE)'] : []),
    ...(asksWhoCalls(settings) ? [] : ['asking who calls (set SKIPLEASE_IDENTITIES_FILE, SKIPLEASE_JWT_KEY_SET or SKIPLEASE_TLS_CLIENT_CA_FILE)']),
  ];
  if (!isLoopback(grpcAddress.host) && missing.length > 0) {
    problems.push({ field: 'SKIPLEASE_GRPC_ADDRESS', description: refusal(grpcAddress.host, missing.join(' and ')) });
  }
  if (!isLoopback(httpAddress.host) && httpTokenFile === undefined) {
    problems.push({ field: 'SKIPLEASE_HTTP_ADDRESS', description: refusal(httpAddress.host, 'a token (set SKIPLEASE_HTTP_TOKEN_FILE)') });
  }
  return problems;
}

function refusal(host: string, missing: string): string {
  return `${host} can be reached from beyond this machine, without ${missing}. Where something in front of it sees to that, set SKIPLEASE_INSECURE=true.`;
}

/** Only this machine can reach it. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
