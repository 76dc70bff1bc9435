import type { Client } from '@grpc/grpc-js';
import { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Random } from '../../worker/payments/random.ts';
import type { Attempt } from './attempt.ts';
import { callWith, type Answer } from './call.ts';
import type { Method } from './contract.ts';
import { aboutMessage, complaint } from './judge.ts';
import type { Known } from './known.ts';
import { makeMessage } from './make_message.ts';

/** How long a refusal or an answer may take on a busy machine. */
export const ANSWER_DEADLINE_MS = 30_000;
const CHUNKS_MAX = 4;

/** A call of any method but Lease: mostly one request, or some chunks; sometimes a request too many, or none. */
export function makeCall(method: Method, random: Random, known: Known, receiveBytesMax: number): Attempt {
  const isStream = method.kind === 'bidi_streaming' || method.kind === 'client_streaming';
  const count = isStream ? random.between(0, CHUNKS_MAX) : random.weighted([[1, 60], [0, 1], [2, 1]]);
  const messages = Array.from({ length: count }, () => makeMessage(method.input, random, known, receiveBytesMax));
  return { path: method.path, messages };
}

/** Makes the call, and says what is wrong with its answer. */
export async function makeCallAndJudge(client: Client, method: Method, { messages }: Attempt): Promise<{ answer: Answer; problem: string | undefined }> {
  const answersMax = method.kind === 'server_streaming' ? 1 : undefined;
  const answer = await callWith(client, method.path, messages, { deadlineMs: ANSWER_DEADLINE_MS, answersMax });
  return { answer, problem: complaint(answer, method.output) ?? aboutChunks(method, answer) };
}

function aboutChunks({ path }: Method, { messages }: Answer): string | undefined {
  if (!path.endsWith('/StreamSubmitJobs')) {
    return undefined;
  }
  return messages.map((message) => StreamSubmitJobsResponse.decode(message).error)
    .map((error) => error && aboutMessage(error)).find((problem) => problem !== undefined);
}
