import { once } from 'node:events';
import { status as code, type Client, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js';
import type { DescMessage } from '@bufbuild/protobuf';
import type { Random } from '../../worker/payments/random.ts';
import { within } from '../support/wait.ts';
import type { Attempt } from './attempt.ts';
import type { Answer } from './call.ts';
import type { Method } from './contract.ts';
import { harvest } from './harvest.ts';
import { complaint } from './judge.ts';
import type { Known } from './known.ts';
import { makeMessage } from './make_message.ts';
import { ANSWER_DEADLINE_MS } from './ordinary_calls.ts';

const WORDS_MAX = 12;
/** For what the coordinator may have to say to the last word; it need not say anything. */
const LISTEN_MS = 30;
const LATER_WORDS = ['window', 'report', 'report', 'report', 'heartbeat', 'progress'] as const;

/**
 * One Lease stream, word by word, so that its reports name what it was leased. Mostly hello first; then anything, in any order:
 * a second hello, words cut in two, a half-close in the middle. All that was said is left in `attempt`, also when it throws.
 */
export async function leaseAndJudge(
  client: Client, method: Method, attempt: Attempt, random: Random, known: Known, receiveBytesMax: number,
): Promise<{ answer: Answer; problem: string | undefined }> {
  const startedMs = performance.now();
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(method.path, asIs, asIs);
  const messages: Buffer[] = [];
  stream.on('error', () => undefined);
  stream.on('data', (message: Buffer) => {
    messages.push(message);
    harvestSafely(method.output, message, known);
  });
  let ended = false;
  const status = new Promise<StatusObject>((resolve) => {
    stream.on('status', (last: StatusObject) => {
      ended = true;
      resolve(last);
    });
  });
  const words = random.between(1, WORDS_MAX);
  for (let word = 0; word < words && !ended; word += 1) {
    const chosen = word === 0 && random.next() < 0.9 ? 'hello' : random.next() < 0.05 ? 'hello' : random.pick(LATER_WORDS);
    const message = Buffer.from(makeMessage(method.input, random, known, receiveBytesMax, random.next() < 0.95 ? chosen : undefined));
    attempt.messages.push(message);
    stream.write(message);
    if (random.next() < 0.6) {
      await listen(stream);
    }
  }
  const farewell = random.next() < 0.7;
  if (farewell) {
    stream.end();
  } else {
    stream.cancel();
  }
  const last = await within(status, ANSWER_DEADLINE_MS, 'the end of a Lease stream after its half-close');
  const answer = { status: last, messages, brokenOff: !farewell && last.code === code.CANCELLED, tookMs: performance.now() - startedMs };
  return { answer, problem: complaint(answer, method.output) };
}

const asIs = (bytes: Buffer): Buffer => bytes;

async function listen(stream: ClientDuplexStream<Buffer, Buffer>): Promise<void> {
  await once(stream, 'data', { signal: AbortSignal.timeout(LISTEN_MS) }).catch(() => undefined);
}

/** One that cannot be read is the judge's business. */
function harvestSafely(output: DescMessage, message: Buffer, known: Known): void {
  try {
    harvest('Lease', output, message, known);
  } catch {}
}
