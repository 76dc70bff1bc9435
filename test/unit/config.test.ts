import { readFile } from 'node:fs/promises';
import test from 'ava';
import { describeSettings, formatAddress, readSettings } from '../../coordinator/config.ts';
import { SkipleaseError } from '../../coordinator/errors.ts';

const README = new URL('../../coordinator/README.md', import.meta.url);

test('the README has one table of all settings, as the code has them', async (t) => {
  const readme = await readFile(README, 'utf8');
  const shown = readme.split('\n').filter((line) => /^\| `(DATABASE_URL|SKIPLEASE_\w+)` \|/.test(line));
  const expected = describeSettings().map(({ name, default: fallback, accepts, meaning }) =>
    `| \`${name}\` | ${fallback === '' ? '(empty)' : `\`${fallback}\``} | ${accepts} | ${meaning} |`);
  t.deepEqual(shown, expected);
});

test('an empty environment is a good one, and the intervals follow from the time to live', (t) => {
  const settings = readSettings({});
  t.is(settings.databaseUrl, undefined);
  t.deepEqual(settings.grpcAddress, { host: '127.0.0.1', port: 7420 });
  t.is(settings.leaseTtlMs, 10_000);
  t.is(settings.heartbeatIntervalMs, 3_333);
  t.is(settings.tickMs, 1_000);
  t.is(readSettings({ SKIPLEASE_LEASE_TTL_MS: '800' }).tickMs, 200);
  t.true(Object.isFrozen(settings));
});

test('an empty value is the default, and an IPv6 address keeps its brackets', (t) => {
  t.is(readSettings({ SKIPLEASE_LEASE_TTL_MS: ' ' }).leaseTtlMs, 10_000);
  const { grpcAddress } = readSettings({ SKIPLEASE_GRPC_ADDRESS: '[::1]:0' });
  t.deepEqual(grpcAddress, { host: '::1', port: 0 });
  t.is(formatAddress(grpcAddress), '[::1]:0');
});

for (const [name, value, reason] of [
  ['SKIPLEASE_LEASE_TTL_MS', '499', 'less than 500'],
  ['SKIPLEASE_LEASE_TTL_MS', '10s', 'not a whole number'],
  ['SKIPLEASE_LEASE_TTL_MS', '600001', 'more than 600000'],
  ['SKIPLEASE_LEASE_TTL_MS', '1e4', 'not a whole number'],
  ['SKIPLEASE_GRPC_ADDRESS', '7420', 'not host:port'],
  ['SKIPLEASE_GRPC_ADDRESS', 'localhost:70000', 'not host:port'],
  ['SKIPLEASE_ADVERTISED_ADDRESS', 'here:0', 'not host:port'],
  ['SKIPLEASE_LOG_LEVEL', 'loud', 'Invalid option'],
  ['SKIPLEASE_PAYLOAD_BYTES_MAX', '4194304', 'set SKIPLEASE_RECEIVE_BYTES_MAX to 4259840 or more'],
  ['SKIPLEASE_RETENTION_DAYS', '0', 'less than 1'],
  ['SKIPLEASE_FAILED_RETENTION_DAYS', '6', 'less than the 7 of SKIPLEASE_RETENTION_DAYS'],
  ['SKIPLEASE_WAKEUPS', 'redis://somebody:hunter2@cache', 'Invalid option'],
  ['SKIPLEASE_REDIS_URL', 'http://somebody:hunter2@cache', 'not a redis:// or rediss:// URL'],
  ['SKIPLEASE_REDIS_URL', 'redis://somebody:hunter2@cache', 'Set that to redis, or leave this empty'],
  ['DATABASE_URL', 'mysql://somebody:hunter2@db/x', 'not a postgresql:// URL'],
] as const) {
  test(`${name}=${value} is refused with what to set`, (t) => {
    const error = t.throws(() => readSettings({ [name]: value }), { instanceOf: SkipleaseError });
    t.is(error.code, 'INVALID_ARGUMENT');
    t.deepEqual(error.violations.map(({ field }) => field), [name]);
    t.true(error.message.includes(reason), error.message);
    t.false(error.message.includes('hunter2'), 'a password must not be repeated');
  });
}

const TLS = { SKIPLEASE_TLS_CERT_FILE: 'server.pem', SKIPLEASE_TLS_KEY_FILE: 'server.key' };
const JWT = { SKIPLEASE_JWT_KEY_SET: 'keys.json', SKIPLEASE_JWT_ISSUER: 'https://issuer', SKIPLEASE_JWT_AUDIENCE: 'skiplease' };
const EVERYWHERE = { SKIPLEASE_GRPC_ADDRESS: '0.0.0.0:7420' };

for (const [what, environment, fields] of [
  ['gRPC beyond this machine', EVERYWHERE, ['SKIPLEASE_GRPC_ADDRESS']],
  ['an IPv6 address of all', { SKIPLEASE_GRPC_ADDRESS: '[::]:7420' }, ['SKIPLEASE_GRPC_ADDRESS']],
  ['gRPC beyond this machine with TLS, asking nobody', { ...EVERYWHERE, ...TLS }, ['SKIPLEASE_GRPC_ADDRESS']],
  ['gRPC beyond this machine with tokens in clear text', { ...EVERYWHERE, SKIPLEASE_IDENTITIES_FILE: 'i.json' }, ['SKIPLEASE_GRPC_ADDRESS']],
  ['HTTP beyond this machine', { SKIPLEASE_HTTP_ADDRESS: '10.0.0.1:7421' }, ['SKIPLEASE_HTTP_ADDRESS']],
  ['a certificate without its key', { SKIPLEASE_TLS_CERT_FILE: 'server.pem' }, ['SKIPLEASE_TLS_KEY_FILE']],
  ['an authority for clients without TLS', { SKIPLEASE_TLS_CLIENT_CA_FILE: 'ca.pem' }, ['SKIPLEASE_TLS_CERT_FILE']],
  ['tokens of anybody, for anybody', { SKIPLEASE_JWT_KEY_SET: 'keys.json' }, ['SKIPLEASE_JWT_ISSUER', 'SKIPLEASE_JWT_AUDIENCE']],
  ['an issuer without keys', { SKIPLEASE_JWT_ISSUER: 'https://issuer' }, ['SKIPLEASE_JWT_KEY_SET', 'SKIPLEASE_JWT_AUDIENCE']],
  ['keys that somebody on the way could exchange', { ...JWT, SKIPLEASE_JWT_KEY_SET: 'http://issuer/keys' }, ['SKIPLEASE_JWT_KEY_SET']],
  ['an algorithm whose key is a secret', { ...JWT, SKIPLEASE_JWT_ALGORITHMS: 'RS256,HS256' }, ['SKIPLEASE_JWT_ALGORITHMS']],
  ['neither on nor off', { SKIPLEASE_INSECURE: 'yes' }, ['SKIPLEASE_INSECURE']],
] as const) {
  test(`${what} is refused`, (t) => {
    const error = t.throws(() => readSettings(environment), { instanceOf: SkipleaseError });
    t.deepEqual(error.violations.map(({ field }) => field), [...fields]);
  });
}

test('with TLS and whoever asks who calls, or when it is told so, a coordinator may listen everywhere', (t) => {
  for (const environment of [
    { ...EVERYWHERE, ...TLS, SKIPLEASE_IDENTITIES_FILE: 'i.json' }, { ...EVERYWHERE, ...TLS, ...JWT }, { ...EVERYWHERE, ...TLS, SKIPLEASE_TLS_CLIENT_CA_FILE: 'ca.pem' },
    { ...EVERYWHERE, SKIPLEASE_HTTP_ADDRESS: '0.0.0.0:7421', SKIPLEASE_INSECURE: 'true' }, { SKIPLEASE_HTTP_ADDRESS: '0.0.0.0:7421', SKIPLEASE_HTTP_TOKEN_FILE: 'token' },
    { SKIPLEASE_GRPC_ADDRESS: 'localhost:1', SKIPLEASE_HTTP_ADDRESS: '[::1]:2' }, { ...JWT, SKIPLEASE_JWT_KEY_SET: 'https://issuer/keys' },
  ]) t.notThrows(() => readSettings(environment), JSON.stringify(environment));
});

test('wake-ups by Redis need its URL', (t) => {
  const error = t.throws(() => readSettings({ SKIPLEASE_WAKEUPS: 'redis' }), { instanceOf: SkipleaseError });
  t.deepEqual(error.violations.map(({ field }) => field), ['SKIPLEASE_REDIS_URL']);
  t.like(readSettings({ SKIPLEASE_WAKEUPS: 'redis', SKIPLEASE_REDIS_URL: 'rediss://cache:6380/1' }), { wakeups: 'redis', redisUrl: 'rediss://cache:6380/1' });
  t.like(readSettings({}), { wakeups: 'postgres', redisUrl: undefined });
});

test('everything that is wrong is told at once', (t) => {
  const error = t.throws(() => readSettings({ SKIPLEASE_LEASE_TTL_MS: 'x', SKIPLEASE_LOG_LEVEL: 'y' }), { instanceOf: SkipleaseError });
  t.is(error.violations.length, 2);
});
