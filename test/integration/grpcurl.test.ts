import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { v7 as uuidv7 } from 'uuid';
import { findGrpcurl, grpcurl } from '../support/grpcurl.ts';
import { testWhen } from '../support/skip.ts';
import { waitFor } from '../support/wait.ts';
import { failedForGood, jobSpec, startRpc } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

const DEADLINE_MS = 20_000;
const binary = (await findGrpcurl())!;
const withGrpcurl = testWhen(binary !== undefined, 'grpcurl, which needs Go', test.serial);

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

/** What is looked at of the messages that grpcurl prints as JSON. */
interface Printed {
  status?: string;
  jobId?: string;
  batch?: { id: string };
  chunk?: number;
  jobIds?: string[];
  job?: { id: string; queue: string; state: string; maxAttempts: number; payload: object; result: object };
  jobs?: { id: string; retriedAsJobId?: string }[];
  queue?: { depth: { ready: number } };
  welcome?: { leaseTtl: string; heartbeatInterval: string };
  lease?: { token: string; number: number; queue: string; jobs: { id: string }[] };
  alive?: { sequence: number };
  receipt?: object;
}

/** Runs it and reads what it printed: JSON messages, one after the other. */
async function run(parameters: string[], input = ''): Promise<{ code: number; messages: Printed[]; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await grpcurl(binary, parameters, input);
  return { code, messages: code === 0 ? jsonMessages(stdout) : [], stdout, stderr };
}

/** grpcurl ends each message with a brace alone on its line. */
function jsonMessages(text: string): Printed[] {
  return text.startsWith('{') ? JSON.parse(`[${text.trim().replaceAll(/^\}\n\{/gm, '},\n{')}]`) as Printed[] : [];
}

const rpcCall = (method: string, request: object) =>
  run(['-d', JSON.stringify(request), rpc.coordinator.grpcAddress, `skiplease.v1.${method}`]);

/** The lines of shell blocks that call grpcurl without TLS (security_end_to_end runs the others), with what a person has to put in put in. */
async function commandsOf(file: string, replace: Record<string, string>): Promise<string[]> {
  const text = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1]!);
  return blocks.flatMap((block) => block.split('\n')).filter((line) => line.startsWith('grpcurl -plaintext ') && !line.includes('WorkerService/Lease'))
    .map((line) => Object.entries(replace).reduce((done, [from, to]) => done.replaceAll(from, to), line));
}

/** What goes on until Ctrl-C has done its part with the first message. */
const isEndless = (command: string) => command.includes('/WatchQueues') || command.includes('/StreamIsActive');

function shell(command: string, input: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', `exec ${command}`]);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (isEndless(command) && completeMessages(output).length > 0) {
        child.kill('SIGINT');
        resolve({ code: 0, output });
      }
    });
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

withGrpcurl('services are listed and described in the words of the contract', async (t) => {
  const { stdout } = await run([rpc.coordinator.grpcAddress, 'list']);
  t.deepEqual(stdout.trim().split('\n'), ['externalscaler.ExternalScaler', 'grpc.health.v1.Health', 'skiplease.v1.BatchService', 'skiplease.v1.JobService', 'skiplease.v1.QueueService', 'skiplease.v1.ScheduleService', 'skiplease.v1.WorkerService']);
  const described = await run([rpc.coordinator.grpcAddress, 'describe', 'skiplease.v1.JobSpec']);
  t.regex(described.stdout, /\/\/ What a submitter asks for\./);
  t.regex(described.stdout, /string queue = 2;/);
  const health = await rpcHealth();
  t.deepEqual(health.messages, [{ status: 'SERVING' }]);
});

const rpcHealth = () => run(['-d', '{"service": "skiplease.v1.WorkerService"}', rpc.coordinator.grpcAddress, 'grpc.health.v1.Health/Check']);

for (const version of ['v1', 'v1alpha']) {
  test.serial(`reflection ${version} lists the services`, async (t) => {
    // ServerReflectionRequest { list_services: "*" }
    const stream = rpc.jobs.makeBidiStreamRequest(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, (raw: Buffer) => raw, (raw: Buffer) => raw);
    stream.write(Buffer.from([0x3a, 0x01, 0x2a]));
    stream.end();
    const [answer] = await once(stream, 'data') as [Buffer];
    for (const name of ['JobService', 'QueueService', 'ScheduleService', 'WorkerService']) {
      t.true(answer.includes(`skiplease.v1.${name}`));
    }
  });
}

withGrpcurl('a job with a JSON payload goes in and comes back as JSON', async (t) => {
  const submitted = await rpcCall('JobService/SubmitJob', { job: { queue: 'by-hand', type: 'welcome', payload: { json: { to: 'zoë@example.org', n: [1, 2.5, null] } } } });
  t.is(submitted.code, 0, submitted.stderr);
  const jobId = submitted.messages[0]!.jobId!;
  const { messages } = await rpcCall('JobService/GetJob', { job_id: jobId });
  const { payload, ...job } = messages[0]!.job!;
  t.like(job, { id: jobId, queue: 'by-hand', state: 'JOB_STATE_READY', maxAttempts: 3 });
  t.deepEqual(payload as unknown, { json: { to: 'zoë@example.org', n: [1, 2.5, null] }, contentType: 'application/json' });
});

withGrpcurl('an error is printed with its details', async (t) => {
  const { code, stderr } = await rpcCall('JobService/SubmitJob', { job: { queue: 'two words', type: 'x', priority: 17 } });
  t.is(code, 67, 'INVALID_ARGUMENT is 64 + 3');
  for (const words of ['Code: InvalidArgument', '"reason": "INVALID_FIELD"', '"domain": "skiplease"', '"field": "job.queue"', 'is 17: 0 to 9 are accepted']) {
    t.true(stderr.includes(words), stderr);
  }
});

withGrpcurl('a file of jobs is submitted, chunk by chunk', async (t) => {
  const chunks = Array.from({ length: 20 }, (_, index) => JSON.stringify({
    chunk: index + 1, jobs: Array.from({ length: 50 }, (__, job) => ({ queue: 'file', type: 'welcome', payload: { json: { number: index * 50 + job } } })),
  }));
  const { code, messages, stderr } = await run(['-d', '@', rpc.coordinator.grpcAddress, 'skiplease.v1.JobService/StreamSubmitJobs'], chunks.join('\n'));
  t.is(code, 0, stderr);
  t.deepEqual(messages.map(({ chunk }) => chunk), Array.from({ length: 20 }, (_, index) => index + 1));
  t.is(new Set(messages.flatMap(({ jobIds }) => jobIds!)).size, 1_000);
  t.is((await rpcCall('QueueService/GetQueue', { queue: 'file' })).messages[0]!.queue!.depth.ready, 1_000);
});

withGrpcurl('the Lease stream, driven by hand: hello, a lease, a heartbeat, a report, its receipt', async (t) => {
  const [jobId] = await rpc.submit(jobSpec({ queue: 'lease-by-hand' }));
  const child = spawn(binary, ['-plaintext', '-d', '@', rpc.coordinator.grpcAddress, 'skiplease.v1.WorkerService/Lease']);
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const say = (message: object) => child.stdin.write(`${JSON.stringify(message)}\n`);
  const heard = async <Kind extends keyof Printed>(kind: Kind) => (await waitFor(
    () => completeMessages(printed).find((message) => kind in message), { deadlineMs: DEADLINE_MS, what: kind },
  ))[kind]!;
  say({ hello: { worker_id: 'me', queues: [{ queue: 'lease-by-hand' }], window: { jobs: 1 } } });
  t.like(await heard('welcome'), { leaseTtl: '10s', heartbeatInterval: '3.333s' });
  const lease = await heard('lease');
  t.like(lease, { number: 1, queue: 'lease-by-hand' });
  t.is(lease.jobs[0]!.id, jobId!);
  say({ heartbeat: { sequence: 7, received: 1 } });
  t.is((await heard('alive')).sequence, 7);
  say({ report: { token: lease.token, outcomes: [{ job_id: jobId, succeeded: { result: { json: { sent: true } } } }] } });
  t.deepEqual(await heard('receipt') as unknown, { token: lease.token, jobs: [{ jobId, status: 'RECEIPT_STATUS_ACCEPTED' }] });
  child.stdin.end();
  t.deepEqual(await once(child, 'close'), [0, null]);
  const { messages } = await rpcCall('JobService/WatchJob', { job_id: jobId });
  t.is(messages.length, 1, 'a final job is shown once');
  t.like(messages[0]!.job, { state: 'JOB_STATE_SUCCEEDED', result: { json: { sent: true }, contentType: 'application/json' } });
});

function completeMessages(text: string): Printed[] {
  const end = text.lastIndexOf('\n}');
  return end === -1 ? [] : jsonMessages(text.slice(0, end + 2));
}

withGrpcurl('every command of the READMEs runs', async (t) => {
  const [failed, watched] = await rpc.submit(jobSpec({ queue: 'mail' }), jobSpec({ queue: 'mail' }));
  const worker = await rpc.worker({ queues: ['mail'], jobs: 2 });
  const lease = await worker.lease();
  await worker.report(lease.token, [failedForGood(failed!, 'X', 'x'), failedForGood(watched!, 'X', 'x')]);
  worker.cut();
  const text = await readFile(new URL('../../coordinator/rpc/README.md', import.meta.url), 'utf8');
  const [jobs, graph] = [...text.matchAll(/^```json\n([\s\S]*?)^```/gm)].map((match) => match[1]!);
  const files: Record<string, string> = {
    'jobs.jsonl': jobs!, 'graph.json': [1, 2, 3].reduce((done, number) => done.replaceAll(`ID_${number}`, uuidv7()), graph!),
  };
  await rpc.submit(jobSpec({ queue: 'payments' }));
  const created = await rpcCall('BatchService/CreateBatch', {});
  const replace = { 'grpcurl -plaintext': `'${binary}' -plaintext`, 'localhost:7420': rpc.coordinator.grpcAddress, JOB_ID: watched!, BATCH_ID: created.messages[0]!.batch!.id };
  const commands = [...await commandsOf('README.md', replace), ...await commandsOf('coordinator/rpc/README.md', replace),
    ...await commandsOf('deploy/README.md', replace), ...await commandsOf('deploy/prometheus/README.md', replace)];
  t.true(commands.length >= 15, commands.join('\n'));
  for (const command of commands) {
    const [alone, file] = command.split(' < ');
    const { code, output } = await shell(alone!, file === undefined ? '' : files[file]!);
    t.is(code, 0, `${command}\n${output}`);
    t.not(output.trim(), '', command);
  }
  const listed = await rpcCall('JobService/ListJobs', { queue: 'mail', state: 'JOB_STATE_FAILED' });
  const shown = listed.messages[0]!.jobs!;
  t.deepEqual(shown.map(({ id }) => id).sort(), [failed!, watched!].sort());
  t.truthy(shown.find(({ id }) => id === watched)!.retriedAsJobId);
});
