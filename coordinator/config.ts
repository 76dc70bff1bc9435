import { z } from 'zod';
import { SkipleaseError } from './errors.ts';
import { exposureProblems } from './exposure.ts';
import type { Exposure } from './exposure.ts';
import { RETENTION, SUBMIT_WAITING_JOBS_MAX } from './limits.ts';

/** A place to listen on. Port 0: any free one. */
export interface ListenAddress {
  host: string;
  port: number;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const WAKEUPS = ['memory', 'postgres', 'redis'] as const;
const SWITCH = ['true', 'false'] as const;
/** Only those with a public key: who can verify a token must not be able to make one. */
export const JWT_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;

/** What the environment said, checked and frozen. Times in milliseconds, sizes in bytes. */
export interface Settings {
  /** undefined: PostgreSQL is started here, in the data folder. */
  readonly databaseUrl: string | undefined;
  readonly grpcAddress: ListenAddress;
  readonly httpAddress: ListenAddress;
  /** undefined: no probes are served. */
  readonly healthAddress: ListenAddress | undefined;
  /** How others reach this coordinator's gRPC port; undefined: the address it listens on. */
  readonly advertisedAddress: string | undefined;
  /** PEM files of the server's certificate and its key; both or none. */
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  /** PEM file of the authorities that vouch for clients; undefined: they are not asked for certificates. */
  readonly tlsClientCaFile: string | undefined;
  readonly identitiesFile: string | undefined;
  /** A file, or an http(s) URL. */
  readonly jwtKeySet: string | undefined;
  /** There exactly when jwtKeySet is, like jwtAudience. */
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: string | undefined;
  readonly jwtAlgorithms: readonly (typeof JWT_ALGORITHMS)[number][];
  readonly jwtClaim: string;
  readonly httpTokenFile: string | undefined;
  readonly reflection: boolean;
  /** It may listen beyond this machine without TLS, or without asking who calls. */
  readonly insecure: boolean;
  readonly dataDirectory: string;
  /** By what coordinators tell each other that there is work. */
  readonly wakeups: (typeof WAKEUPS)[number];
  /** There exactly when `wakeups` is redis. */
  readonly redisUrl: string | undefined;
  readonly leaseTtlMs: number;
  /** What workers are told: three heartbeats fit into a TTL. */
  readonly heartbeatIntervalMs: number;
  /** How often the coordinator renews its own row in the database. */
  readonly tickMs: number;
  readonly logLevel: LogLevel;
  readonly payloadBytesMax: number;
  readonly resultBytesMax: number;
  readonly receiveBytesMax: number;
  /** Of each client, on this coordinator. */
  readonly clientWaitingJobsMax: number;
  /** 0: no limit. */
  readonly clientJobsPerSecond: number;
  /** 0: never. */
  readonly rebalanceMs: number;
  readonly clientBytesMax: number;
  readonly drainDeadlineMs: number;
  readonly retentionDays: number;
  readonly failedRetentionDays: number;
}

/** One row of the table in coordinator/README.md. */
export interface SettingDescription {
  name: string;
  default: string;
  accepts: string;
  meaning: string;
}

interface Setting<T> extends SettingDescription {
  schema: z.ZodType<T>;
}

/** Every setting there is. coordinator/README.md shows this table; a test compares the two. */
const SETTINGS = {
  databaseUrl: text('DATABASE_URL', '', 'a postgresql:// URL', databaseUrl(),
    'The PostgreSQL (15 or newer) to keep everything in, reached directly and not through a pooler. '
      + 'Empty: one is started here, in the data folder.'),
  grpcAddress: text('SKIPLEASE_GRPC_ADDRESS', '127.0.0.1:7420', 'host:port', listenAddress(),
    'Where gRPC is served. Port 0 takes any free one.'),
  httpAddress: text('SKIPLEASE_HTTP_ADDRESS', '127.0.0.1:7421', 'host:port', listenAddress(),
    'Where /metrics, /healthz and /readyz are served. Port 0 takes any free one.'),
  healthAddress: text('SKIPLEASE_HEALTH_ADDRESS', '', 'host:port', optionalListenAddress(),
    'Where the gRPC probes of Kubernetes (liveness, readiness, startup) are answered, always in plain text. Empty: nowhere.'),
  advertisedAddress: text('SKIPLEASE_ADVERTISED_ADDRESS', '', 'host:port', advertisedAddress(),
    'How others reach this coordinator\'s gRPC port. Empty: the address it listens on.'),
  tlsCertFile: text('SKIPLEASE_TLS_CERT_FILE', '', 'a PEM file', optionalText(),
    'The certificate, with those between it and its authority, that gRPC is served with. This and the other files of these settings are used anew when they change.'),
  tlsKeyFile: text('SKIPLEASE_TLS_KEY_FILE', '', 'a PEM file', optionalText(), 'The private key of that certificate.'),
  tlsClientCaFile: text('SKIPLEASE_TLS_CLIENT_CA_FILE', '', 'a PEM file', optionalText(),
    'The authorities whose certificates prove who a client is. Without identities or tokens a client must have one, and may then do everything.'),
  identitiesFile: text('SKIPLEASE_IDENTITIES_FILE', '', 'a JSON file', optionalText(),
    'Who may do what, and by which token or certificate each proves to be who. Nobody else may call.'),
  jwtKeySet: text('SKIPLEASE_JWT_KEY_SET', '', 'a file or an https:// URL', keySet(), 'The JSON Web Key Set by which JSON Web Tokens of callers are verified.'),
  jwtIssuer: text('SKIPLEASE_JWT_ISSUER', '', 'the iss of a token', optionalText(), 'Whose tokens are accepted. Needed with SKIPLEASE_JWT_KEY_SET.'),
  jwtAudience: text('SKIPLEASE_JWT_AUDIENCE', '', 'the aud of a token', optionalText(), 'For whom a token must have been made. Needed with SKIPLEASE_JWT_KEY_SET.'),
  jwtAlgorithms: text('SKIPLEASE_JWT_ALGORITHMS', 'RS256,PS256,ES256,EdDSA', `some of ${JWT_ALGORITHMS.join(' ')}, with commas`, algorithms(),
    'How tokens may be signed.'),
  jwtClaim: text('SKIPLEASE_JWT_CLAIM', 'skiplease', 'the name of a claim', z.string().min(1), 'Where a token says what it grants; the identities file may replace that.'),
  httpTokenFile: text('SKIPLEASE_HTTP_TOKEN_FILE', '', 'a file', optionalText(),
    'A token, or one a line, that /metrics asks for as "authorization: Bearer". /healthz and /readyz ask for none.'),
  reflection: text('SKIPLEASE_REFLECTION', 'true', 'true or false', onOrOff(), 'Whether gRPC describes its services to grpcurl and the like.'),
  insecure: text('SKIPLEASE_INSECURE', 'false', 'true or false', onOrOff(),
    'true: it may listen beyond this machine without TLS, or without asking who calls. Something in front of it must do both.'),
  dataDirectory: text('SKIPLEASE_DATA_DIR', './data', 'a folder', z.string().min(1),
    'Where the embedded PostgreSQL keeps its files. Not used with DATABASE_URL.'),
  wakeups: text('SKIPLEASE_WAKEUPS', 'postgres', WAKEUPS.join(', '), z.enum(WAKEUPS),
    'How coordinators wake each other: by NOTIFY, by pub/sub of a Redis, or not at all (memory: for one coordinator alone).'),
  redisUrl: text('SKIPLEASE_REDIS_URL', '', 'a redis:// or rediss:// URL', redisUrl(),
    'The Redis (6 or newer) or Valkey for SKIPLEASE_WAKEUPS=redis. Nothing is stored in it.'),
  leaseTtlMs: whole('SKIPLEASE_LEASE_TTL_MS', 10_000, 500, 600_000, 'ms',
    'How long a silent worker keeps its jobs. Workers send a heartbeat each third of it.'),
  logLevel: text('SKIPLEASE_LOG_LEVEL', 'info', LOG_LEVELS.join(', '), z.enum(LOG_LEVELS), 'The least that is logged.'),
  payloadBytesMax: whole('SKIPLEASE_PAYLOAD_BYTES_MAX', 1_048_576, 1_024, 67_108_864, 'bytes', 'The largest payload of one job.'),
  resultBytesMax: whole('SKIPLEASE_RESULT_BYTES_MAX', 262_144, 1_024, 67_108_864, 'bytes', 'The largest result of one job.'),
  receiveBytesMax: whole('SKIPLEASE_RECEIVE_BYTES_MAX', 4_194_304, 65_536, 134_217_728, 'bytes',
    'The largest gRPC message that is accepted; must have room for a payload and 64 KiB beside it.'),
  clientWaitingJobsMax: whole('SKIPLEASE_CLIENT_WAITING_JOBS_MAX', SUBMIT_WAITING_JOBS_MAX / 2, 1, SUBMIT_WAITING_JOBS_MAX, 'jobs',
    'Jobs of one client that may wait for their commit on this coordinator, of 100,000 in all. A client is who it has proved to be, else its host.'),
  clientJobsPerSecond: whole('SKIPLEASE_CLIENT_JOBS_PER_SECOND', 0, 0, 1_000_000, 'jobs/s',
    'How many jobs one client may submit to this coordinator, a second\'s worth at once. 0: no limit.'),
  rebalanceMs: whole('SKIPLEASE_REBALANCE_MS', 10_000, 0, 600_000, 'ms',
    'How often a coordinator with more than its share of the workers asks some of them to move. 0: never.'),
  clientBytesMax: whole('SKIPLEASE_CLIENT_BYTES_MAX', 536_870_912, 67_108_864, 68_719_476_736, 'bytes',
    'What all clients together may make this coordinator hold: connections (64 KiB each), calls (16 KiB), messages on their way in, '
      + 'answers that nobody reads. Beyond it, who makes it hold the most is cut off.'),
  drainDeadlineMs: whole('SKIPLEASE_DRAIN_DEADLINE_MS', 10_000, 0, 600_000, 'ms',
    'How long a stopping coordinator gives workers to move to another one.'),
  retentionDays: whole('SKIPLEASE_RETENTION_DAYS', RETENTION.days, 1, 3_650, 'days',
    'How long a final job is kept, from its end on. The same on every coordinator.'),
  failedRetentionDays: whole('SKIPLEASE_FAILED_RETENTION_DAYS', RETENTION.failedDays, 1, 3_650, 'days',
    'How long a FAILED job is kept; not less than the other final ones.'),
} satisfies Record<string, Setting<unknown>>;

/** Room beside the largest payload in a message: headers, names, framing. */
const MESSAGE_OVERHEAD_BYTES = 65_536;

/** The table of all settings, in the order of the README. */
export function describeSettings(): SettingDescription[] {
  return Object.values(SETTINGS).map(({ name, default: fallback, accepts, meaning }) => ({ name, default: fallback, accepts, meaning }));
}

/** Checks every setting and answers with all that is wrong at once: INVALID_ARGUMENT, with what to set. */
export function readSettings(environment: Record<string, string | undefined>): Settings {
  const problems: { field: string; description: string }[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(SETTINGS)) {
    const given = environment[setting.name]?.trim() || setting.default;
    const parsed = setting.schema.safeParse(given);
    if (parsed.success) {
      values[key] = parsed.data;
    } else {
      problems.push({ field: setting.name, description: problem(setting, given, parsed.error) });
    }
  }
  const settings = values as unknown as Omit<Settings, 'heartbeatIntervalMs' | 'tickMs'>;
  if (problems.length === 0) {
    problems.push(...contradictions(settings));
  }
  if (problems.length > 0) {
    const message = problems.map(({ field, description }) => `${field}: ${description}`).join(' ');
    throw new SkipleaseError('INVALID_ARGUMENT', 'INVALID_SETTING', message, { violations: problems });
  }
  return Object.freeze({
    ...settings,
    heartbeatIntervalMs: Math.floor(settings.leaseTtlMs / 3),
    tickMs: Math.min(1_000, Math.floor(settings.leaseTtlMs / 4)),
  });
}

function contradictions(
  settings: Pick<Settings, 'payloadBytesMax' | 'resultBytesMax' | 'receiveBytesMax' | 'retentionDays' | 'failedRetentionDays' | 'wakeups' | 'redisUrl'> & Exposure,
) {
  const tooLarge = (['payloadBytesMax', 'resultBytesMax'] as const)
    .filter((key) => settings[key] + MESSAGE_OVERHEAD_BYTES > settings.receiveBytesMax)
    .map((key) => ({
      field: SETTINGS[key].name,
      description: `${settings[key]} bytes do not fit into one message: set SKIPLEASE_RECEIVE_BYTES_MAX to ` +
        `${settings[key] + MESSAGE_OVERHEAD_BYTES} or more, or this lower.`,
    }));
  const tooShort = settings.failedRetentionDays >= settings.retentionDays ? [] : [{
    field: SETTINGS.failedRetentionDays.name,
    description: `${settings.failedRetentionDays} days are less than the ${settings.retentionDays} of SKIPLEASE_RETENTION_DAYS: set it to as many or more.`,
  }];
  const redis = (settings.wakeups === 'redis') === (settings.redisUrl !== undefined) ? [] : [{
    field: SETTINGS.redisUrl.name,
    description: settings.wakeups === 'redis' ? 'is missing: SKIPLEASE_WAKEUPS=redis needs it. Set it to a redis:// URL.'
      : `is of no use with SKIPLEASE_WAKEUPS=${settings.wakeups}. Set that to redis, or leave this empty.`,
  }];
  return [...tooLarge, ...tooShort, ...redis, ...exposureProblems(settings)];
}

function problem(setting: SettingDescription, given: string, error: z.ZodError): string {
  // A connection URL may carry a password: never repeat it.
  const shown = setting.name.endsWith('_URL') || given.includes('://') ? '' : `${JSON.stringify(given)} `;
  const reason = error.issues.map(({ message }) => message).join('; ');
  const instead = setting.default === '' ? 'or leave it empty' : `such as ${setting.default}`;
  return `${shown}is refused (${reason}). Set it to ${setting.accepts}, ${instead}.`;
}

function text<T>(name: string, fallback: string, accepts: string, schema: z.ZodType<T>, meaning: string): Setting<T> {
  return { name, default: fallback, accepts, schema, meaning };
}

function whole(name: string, fallback: number, min: number, max: number, unit: string, meaning: string): Setting<number> {
  const schema = z.string().regex(/^\d{1,12}$/, 'not a whole number').transform(Number)
    .pipe(z.number().min(min, `less than ${min}`).max(max, `more than ${max}`));
  return { name, default: String(fallback), accepts: `${min} to ${max} ${unit}`, schema, meaning };
}

function optionalText(): z.ZodType<string | undefined> {
  return z.string().transform((given) => (given === '' ? undefined : given));
}

function onOrOff(): z.ZodType<boolean> {
  return z.enum(SWITCH).transform((given) => given === 'true');
}

function keySet(): z.ZodType<string | undefined> {
  // Without TLS, somebody on the way could send keys of his own.
  return optionalText().refine((given) => given === undefined || !/^\w+:\/\//.test(given) || /^(https:\/\/|http:\/\/(127\.0\.0\.1|\[::1\]|localhost)[:/])/.test(given),
    'not a file, and not an https:// URL');
}

function algorithms(): z.ZodType<(typeof JWT_ALGORITHMS)[number][]> {
  return z.string().transform((given) => given.split(',').map((name) => name.trim())).pipe(z.array(z.enum(JWT_ALGORITHMS)));
}

function databaseUrl(): z.ZodType<string | undefined> {
  return z.string()
    .refine((url) => url === '' || (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)), 'not a postgresql:// URL')
    .transform((url) => (url === '' ? undefined : url));
}

function redisUrl(): z.ZodType<string | undefined> {
  return z.string()
    .refine((url) => url === '' || (/^rediss?:\/\//.test(url) && URL.canParse(url)), 'not a redis:// or rediss:// URL')
    .transform((url) => (url === '' ? undefined : url));
}

function advertisedAddress(): z.ZodType<string | undefined> {
  return z.string().transform((given, context) => {
    const address = given === '' ? undefined : parseAddress(given);
    if (given !== '' && (address === undefined || address.port === 0)) {
      context.addIssue({ code: 'custom', message: 'not host:port' });
    }
    return address === undefined ? undefined : given;
  });
}

function optionalListenAddress(): z.ZodType<ListenAddress | undefined> {
  return z.string().transform((given, context) => {
    const address = given === '' ? undefined : parseAddress(given);
    if (given !== '' && address === undefined) {
      context.addIssue({ code: 'custom', message: 'not host:port' });
    }
    return address;
  });
}

function listenAddress(): z.ZodType<ListenAddress> {
  return z.string().transform((given, context) => {
    const address = parseAddress(given);
    if (address === undefined) {
      context.addIssue({ code: 'custom', message: 'not host:port' });
      return z.NEVER;
    }
    return address;
  });
}

/** `host:port` or `[ipv6]:port`. */
function parseAddress(given: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(given);
  const port = Number(match?.[3]);
  return match && port <= 65_535 ? { host: (match[1] ?? match[2])!, port } : undefined;
}

/** An address as people and clients write it. */
export function formatAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
