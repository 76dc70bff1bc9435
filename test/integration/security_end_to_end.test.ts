import { execFile } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { credentials, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import { QueueServiceClient } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { WorkerServiceClient } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { aesGcmCodec, JobClient, tokenFromFile, Worker } from '../../worker/index.ts';
import { TestAuthority } from '../support/certificates.ts';
import type { TestCertificate } from '../support/certificates.ts';
import { startCoordinator } from '../support/coordinator.ts';
import type { TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { findGrpcurl } from '../support/grpcurl.ts';
import { clientWith, SecuredFolder } from '../support/secured.ts';
import { testWhen } from '../support/skip.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused } from '../support/rpc_clients.ts';

const run = promisify(execFile);
const codes: Record<keyof typeof status, number> = status;
const DEADLINE_MS = 20_000;
const SERVER_NAMES = 'DNS:localhost,IP:127.0.0.1';
const hasOpenssl = await run('openssl', ['version']).then(() => true, () => false);
const binary = await findGrpcurl();
const withOpenssl = testWhen(hasOpenssl, 'openssl', test.serial);
const withBoth = testWhen(hasOpenssl && binary !== undefined, 'openssl, and grpcurl, which needs Go', test.serial);

const PAYLOAD_SECRET = 'planted-payload-4111111111111111';
const RESULT_SECRET = 'planted-result-0815';
const HTTP_TOKEN = randomBytes(32).toString('hex');

let database: TestDatabase;
let secured: SecuredFolder;
let authority: TestAuthority;
let server: TestCertificate;
let workerCertificate: TestCertificate;
let coordinator: TestCoordinator;
/** All that any call of these tests was refused with. */
const errors: string[] = [];

test.before(async () => {
  if (!hasOpenssl) return;
  database = await createTestDatabase();
  secured = await SecuredFolder.create([
    { name: 'root', grants: [{ can: ['admin'], queues: ['*'] }] },
    { name: 'mailer', certificates: ['URI:spiffe://example.org/mailer'], grants: [{ can: ['work', 'read'], queues: ['mail-*'] }] },
  ]);
  authority = await TestAuthority.create(secured.folder);
  server = await authority.issue('server', SERVER_NAMES);
  workerCertificate = await authority.issue('mailer', 'URI:spiffe://example.org/mailer');
  await writeFile(join(secured.folder, 'http_token'), `${HTTP_TOKEN}\n`);
  coordinator = await startCoordinator({ databaseUrl: database.url, environment: {
    ...secured.environment,
    SKIPLEASE_TLS_CERT_FILE: server.certFile, SKIPLEASE_TLS_KEY_FILE: server.keyFile, SKIPLEASE_TLS_CLIENT_CA_FILE: authority.certificate.certFile,
    SKIPLEASE_HTTP_TOKEN_FILE: join(secured.folder, 'http_token'), SKIPLEASE_LOG_LEVEL: 'trace',
  } });
});

test.after.always(async () => {
  await coordinator?.stop();
  await secured?.remove();
  await database?.drop();
});

const channel = (own?: TestCertificate) => credentials.createSsl(authority.certificate.cert, own?.key ?? null, own?.cert ?? null);
const localhost = () => coordinator.grpcAddress.replace('127.0.0.1', 'localhost');

/** How GetQueue is answered: OK, or the reason of its refusal. */
async function ask(queue: string, token: string | undefined, own?: TestCertificate): Promise<string> {
  const client = clientWith(QueueServiceClient, localhost(), token, channel(own));
  try {
    const answer = await refused(call(client, 'getQueue', { queue }));
    errors.push(answer.message);
    return answer.reason === '' ? String(answer.code) : answer.reason;
  } catch (error) {
    if ((error as Error).message === 'The call was accepted.') return 'OK';
    throw error;
  } finally {
    client.close();
  }
}

/** The certificate that a new connection sees. */
function seen(): Promise<string> {
  return new Promise((resolve, reject) => {
    const [host, port] = coordinator.grpcAddress.split(':');
    const socket = connect({ host, port: Number(port), ca: authority.certificate.cert, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

withOpenssl('a worker with a certificate and a client with a token work over TLS; what they say the database never sees', async (t) => {
  const keys = { first: randomBytes(32) };
  const codec = aesGcmCodec({ keys, current: 'first' });
  const tokenFile = join(secured.folder, 'token');
  await writeFile(tokenFile, `${secured.token('root')}\n`);
  const tls = { ca: authority.certificate.cert };
  const client = new JobClient({ addresses: [localhost()], tls, token: tokenFromFile(tokenFile), codec });
  const checkpoints: unknown[] = [];
  const lines: unknown[] = [];
  const note = (...words: unknown[]) => void lines.push(...words);
  const worker = new Worker({
    addresses: [localhost()], queues: ['mail-eu'], handleSignals: false, codec, tls: { ...tls, cert: workerCertificate.cert, key: workerCertificate.key },
    logger: { debug: note, info: note, warn: note, error: note },
    handlers: {
      charge: async (job, context) => {
        checkpoints.push(job.checkpointJson());
        context.checkpoint({ seen: PAYLOAD_SECRET });
        if (job.attempt === 1) throw new Error('not at first');
        return { card: job.json<{ card: string }>().card, receipt: RESULT_SECRET };
      },
    },
  });
  const running = worker.run();
  const { id } = await client.submit({ queue: 'mail-eu', type: 'charge', payload: { card: PAYLOAD_SECRET }, retryPolicy: { initialBackoffMs: 10 } });
  const job = await waitFor(async () => {
    const found = await client.get(id);
    return found.final ? found : undefined;
  }, { deadlineMs: DEADLINE_MS, what: 'the job to be done' });
  await worker.stop();
  await running;
  t.is(job.state, 'SUCCEEDED');
  t.deepEqual(job.payload, { card: PAYLOAD_SECRET });
  t.deepEqual(job.result, { card: PAYLOAD_SECRET, receipt: RESULT_SECRET });
  t.deepEqual(checkpoints, [undefined, { seen: PAYLOAD_SECRET }]);
  client.close();
  const stranger = new JobClient({ addresses: [localhost()], tls, token: secured.token('root') });
  t.true((await stranger.get(id)).payload instanceof Uint8Array, 'without the key there are only bytes');
  stranger.close();

  const sql = new pg.Client(database.url);
  await sql.connect();
  const { rows } = await sql.query(`select j.content_type, o.result_type, position($1::bytea in j.payload) as payload, position($1::bytea in o.result) as result
    from skiplease.job j join skiplease.outcome o on o.job_id = j.id where j.id = $2`, [Buffer.from('planted'), id]);
  await sql.end();
  const type = 'application/vnd.skiplease.aes-gcm';
  t.deepEqual(rows, [{ content_type: type, result_type: type, payload: 0, result: 0 }]);
  t.false(JSON.stringify(lines).includes('planted'));
});

withOpenssl('a certificate is known by its names, of an authority that is known here', async (t) => {
  const stranger = await authority.issue('stranger', 'URI:spiffe://example.org/stranger');
  const elsewhere = await TestAuthority.create(await mkdtemp(join(secured.folder, 'elsewhere-')), 'elsewhere');
  const forged = await elsewhere.issue('mailer', 'URI:spiffe://example.org/mailer');
  t.is(await ask('mail-eu', undefined, workerCertificate), 'OK');
  t.is(await ask('payments', undefined, workerCertificate), 'NOT_GRANTED');
  t.is(await ask('mail-eu', undefined, stranger), 'UNKNOWN_CERTIFICATE');
  t.is(await ask('mail-eu', undefined, forged), 'NO_CREDENTIALS');
  t.is(await ask('mail-eu', undefined), 'NO_CREDENTIALS');
  t.is(await ask('mail-eu', secured.token('root')), 'OK', 'a token needs no certificate');
  t.is(await ask('mail-eu', 'made-up', workerCertificate), 'UNKNOWN_TOKEN', 'and goes before one');
});

withOpenssl('an exchanged certificate is seen by new connections, and streams that are open live on', async (t) => {
  const client = new WorkerServiceClient(localhost(), channel(workerCertificate));
  const stream = client.lease();
  let alive = 0;
  stream.on('data', ({ message }: { message?: { $case: string } }) => (alive += message?.$case === 'alive' ? 1 : 0));
  let ended: unknown;
  stream.on('error', () => {});
  stream.on('status', (how) => (ended = how));
  stream.write({ message: { $case: 'hello', value: { workerId: 'w', instanceId: '', queues: [{ queue: 'mail-eu', jobsMax: 0 }], window: { jobs: 1, bytes: 0, queues: [] }, sdk: '', sdkVersion: '', heldTokens: [], receiveBytesMax: 0 } } });
  const first = await seen();
  t.is(first, new X509Certificate(server.cert).fingerprint256);
  const next = await authority.issue('next', SERVER_NAMES);
  await copyFile(next.certFile, server.certFile);
  await coordinator.line((line) => line.includes('reload_failed') && line.includes('does not belong'), DEADLINE_MS, 'the lone certificate to be refused');
  t.is(await seen(), first, 'its key has not come yet');
  await copyFile(next.keyFile, server.keyFile);
  await waitFor(async () => (await seen()) === new X509Certificate(next.cert).fingerprint256, { deadlineMs: DEADLINE_MS, what: 'the new certificate to be seen' });
  const before = alive;
  stream.write({ message: { $case: 'heartbeat', value: { sequence: 1, received: 0 } } });
  await waitFor(() => alive > before, { deadlineMs: DEADLINE_MS, what: 'the old stream to be answered' });
  t.is(ended, undefined);
  stream.cancel();
  client.close();
});

withOpenssl('the HTTP port has a token of its own, but for probes', async (t) => {
  const get = async (path: string, token?: string) =>
    (await fetch(`http://${coordinator.httpAddress}${path}`, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })).status;
  t.deepEqual([await get('/metrics'), await get('/metrics', 'wrong'), await get('/metrics', HTTP_TOKEN)], [401, 401, 200]);
  t.deepEqual([await get('/healthz'), await get('/readyz'), await get('/elsewhere')], [200, 200, 401]);
});

withOpenssl('no payload, result, token or key is ever printed, counted or told', async (t) => {
  const root = clientWith(JobServiceClient, localhost(), secured.token('root'), channel());
  const secret = (text: string) => ({ content: { $case: 'jsonText' as const, value: text }, contentType: '' });
  const bad = [
    jobSpec({ queue: 'mail-eu', payload: secret(PAYLOAD_SECRET) }), jobSpec({ queue: 'mail-eu', payload: secret(`{"card": "${PAYLOAD_SECRET}", }`) }),
    jobSpec({ queue: 'mail-eu', headers: { authorization: `${PAYLOAD_SECRET}\0` } }), jobSpec({ queue: 'mail-eu', priority: 17, payload: secret(`"${PAYLOAD_SECRET}"`) }),
  ];
  for (const job of bad) errors.push(JSON.stringify(await refused(call(root, 'submitJob', { job }))));
  const signed = await secured.sign({ skiplease: [{ can: ['read'], queues: ['payments'] }] });
  const stale = await secured.sign({ aud: 'elsewhere' });
  const made = `made-up-${randomBytes(16).toString('hex')}`;
  for (const token of [signed, stale, made]) t.not(await ask('mail-eu', token), 'OK');
  root.close();
  const metrics = await (await fetch(`http://${coordinator.httpAddress}/metrics`, { headers: { authorization: `Bearer ${HTTP_TOKEN}` } })).text();
  const told = [...coordinator.logs, ...errors, metrics].join('\n');
  t.regex(told, /call_failed|reloaded/);
  const secrets = [PAYLOAD_SECRET, RESULT_SECRET, HTTP_TOKEN, signed, signed.split('.')[2]!, stale, made, secured.token('root'), 'PRIVATE KEY', new URL(database.url).password];
  for (const each of secrets) t.false(each !== '' && told.includes(each), `${each.slice(0, 12)}… was told`);
});

withOpenssl('with a client authority alone, whoever has a certificate of it may do everything, and nobody else may connect', async (t) => {
  const alone = await startCoordinator({ databaseUrl: database.url, environment: {
    SKIPLEASE_TLS_CERT_FILE: server.certFile, SKIPLEASE_TLS_KEY_FILE: server.keyFile, SKIPLEASE_TLS_CLIENT_CA_FILE: authority.certificate.certFile, SKIPLEASE_REFLECTION: 'false',
  } });
  const address = alone.grpcAddress.replace('127.0.0.1', 'localhost');
  const known = new JobServiceClient(address, channel(workerCertificate));
  const unknown = new JobServiceClient(address, channel());
  t.truthy((await call(known, 'submitJob', { job: jobSpec({ queue: 'whatever' }) })).jobId);
  t.is((await refused(call(unknown, 'submitJob', { job: jobSpec({ queue: 'whatever' }) }))).code, codes.UNAVAILABLE);
  const described = await new Promise<number>((resolve) => {
    const stream = known.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', (raw: Buffer) => raw, (raw: Buffer) => raw);
    stream.on('error', (error: ServiceError) => resolve(error.code));
    stream.on('data', () => resolve(codes.OK));
    stream.write(Buffer.from([0x3a, 0x01, 0x2a]));
    stream.end();
  });
  t.is(described, codes.UNIMPLEMENTED, 'reflection is off');
  known.close();
  unknown.close();
  await alone.stop();
});

withBoth('the set-up of the README, as it stands there', async (t) => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const section = /^## Keep strangers out\n([\s\S]*?)^## /m.exec(readme)![1]!;
  const [setUp, calls] = [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1]!);
  const lines = setUp!.trim().split('\n');
  const start = lines.pop()!;
  const folder = await mkdtemp(join(tmpdir(), 'skiplease-readme-'));
  const shell = (script: string, environment: Record<string, string> = {}) => run('/bin/sh', ['-ec', script], { cwd: folder, env: { ...process.env, ...environment } });
  const { stdout } = await shell(`${lines.join('\n')}\nprintf %s "$TOKEN"`);
  const settings = Object.fromEntries([...start.matchAll(/(SKIPLEASE_\w+)=(\S+)/g)].map(([, name, file]) => [name!, join(folder, file!)]));
  t.true(start.endsWith(' npm start') && Object.keys(settings).length === 3, start);
  const secure = await startCoordinator({ databaseUrl: database.url, environment: settings });
  const port = secure.grpcAddress.split(':')[1]!;
  const answers: string[] = [];
  for (const line of calls!.trim().split('\n')) {
    const command = line.replace('localhost:7420', `localhost:${port}`).replace('grpcurl', `'${binary}'`);
    answers.push((await shell(command, { TOKEN: stdout })).stdout);
    const { stderr } = await shell(command, { TOKEN: 'made-up' }).then(() => ({ stderr: 'accepted' }), (error: { stderr: string }) => error);
    t.regex(stderr, /UNKNOWN_TOKEN|Unauthenticated/, line);
  }
  t.true(answers[0]!.includes('"jobId"') && answers[1]!.includes('"name": "mail"') && answers[2]!.includes('skiplease.v1.JobService'), answers.join('\n'));
  const worker = new Worker({
    addresses: [`localhost:${port}`], queues: ['mail'], handleSignals: false, tls: { ca: await readFile(join(folder, 'server.pem')) }, token: stdout,
    handlers: { welcome: async () => ({ sent: true }) }, logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const running = worker.run();
  const client = new JobClient({ addresses: [`localhost:${port}`], tls: { ca: await readFile(join(folder, 'server.pem')) }, token: stdout });
  const { jobId } = JSON.parse(answers[0]!) as { jobId: string };
  await waitFor(async () => (await client.get(jobId)).final, { deadlineMs: DEADLINE_MS, what: 'the worker to have done it' });
  client.close();
  await worker.stop();
  await running;
  await secure.stop();
  await rm(folder, { recursive: true });
});
