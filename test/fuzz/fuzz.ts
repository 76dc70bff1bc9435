import { Client, credentials, status as code } from '@grpc/grpc-js';
import { Random } from '../../worker/payments/random.ts';
import { startCoordinator, type TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase } from '../support/database.ts';
import type { Attempt } from './attempt.ts';
import type { Answer } from './call.ts';
import { methodsOfTheContract, type Method } from './contract.ts';
import { GoodCitizen, type Service } from './good_citizen.ts';
import { harvest } from './harvest.ts';
import { Known } from './known.ts';
import { leaseAndJudge } from './lease_calls.ts';
import { makeCall, makeCallAndJudge } from './ordinary_calls.ts';
import { Witness } from './witness.ts';

/** Small limits, so that messages around them are cheap. Bytes. */
const RECEIVE_BYTES_MAX = 1_000_000;
const ENVIRONMENT = {
  SKIPLEASE_PAYLOAD_BYTES_MAX: '16384', SKIPLEASE_RESULT_BYTES_MAX: '16384', SKIPLEASE_RECEIVE_BYTES_MAX: String(RECEIVE_BYTES_MAX), SKIPLEASE_LEASE_TTL_MS: '3000',
};
/** Calls at once, each lane on a connection of its own. */
const LANES = 6;
/** Of four calls one is a Lease stream, which has a dozen messages. */
const LEASE_SHARE = 0.25;
const LEASE = '/skiplease.v1.WorkerService/Lease';
/** After the attack the good client's jobs must all have ended within so long, its leases given up by nobody. */
const GOOD_END_DEADLINE_MS = 60_000;
/** Findings beyond this are counted only. */
const FINDINGS_MAX = 50;

/** What the fuzzer has found, with what brought it about: one call, or those that were under way. */
export interface Finding {
  problem: string;
  attempts: Attempt[];
}

export interface FuzzOptions {
  seed: number;
  durationMs: number;
  /** Calls to be made first, one after the other: what was found before. */
  first: Attempt[];
  /** How much resident memory the coordinator may come to. */
  memoryMaxMiB: number;
  /** How long the good client's slowest hundredth of jobs may take, at least. */
  goodP99MsMax: number;
  onFinding?: (finding: Finding) => void;
}

export interface FuzzResult {
  calls: number;
  /** By method and gRPC status, how often. */
  answers: Map<string, number>;
  findings: Finding[];
  good: Service;
  memoryMaxMiB: number;
  /** The last lines of the coordinator's log. */
  logs: string[];
}

/** Calls everything with everything for so long, beside a good client; looks at each answer, the process, and its log. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const database = await createTestDatabase();
  const coordinator = await startCoordinator({ databaseUrl: database.url, environment: ENVIRONMENT });
  try {
    return await new Fuzzer(coordinator, options).run();
  } finally {
    coordinator.kill('SIGKILL');
    await coordinator.exited;
    await database.drop();
  }
}

class Fuzzer {
  readonly #coordinator: TestCoordinator;
  readonly #options: FuzzOptions;
  readonly #methods = methodsOfTheContract();
  readonly #lease = this.#methods.find(({ path }) => path === LEASE)!;
  readonly #known = new Known();
  readonly #underWay = new Set<Attempt>();
  readonly #findings: Finding[] = [];
  readonly #answers = new Map<string, number>();
  readonly #witness: Witness;
  #calls = 0;

  constructor(coordinator: TestCoordinator, options: FuzzOptions) {
    this.#coordinator = coordinator;
    this.#options = options;
    this.#witness = new Witness(coordinator, (problem) => this.#found(problem, [...this.#underWay]));
  }

  async run(): Promise<FuzzResult> {
    const good = new GoodCitizen(this.#coordinator.grpcAddress);
    await this.#again(this.#options.first);
    const endMs = performance.now() + this.#options.durationMs;
    await Promise.all(Array.from({ length: LANES }, (_, lane) => this.#lane(lane, endMs)));
    const service = await good.leave(this.#witness.ended ? 0 : GOOD_END_DEADLINE_MS);
    good.problems.forEach((problem) => this.#found(problem, []));
    if (service.jobP99Ms > this.#options.goodP99MsMax) {
      this.#found(`of the good client's jobs one in a hundred took ${service.jobP99Ms} ms or more`, []);
    }
    if (this.#witness.memoryMaxMiB > this.#options.memoryMaxMiB) {
      this.#found(`the coordinator came to ${this.#witness.memoryMaxMiB} MiB of memory`, []);
    }
    this.#witness.leave();
    return { calls: this.#calls, answers: this.#answers, findings: this.#findings, good: service, memoryMaxMiB: this.#witness.memoryMaxMiB, logs: this.#coordinator.logs };
  }

  async #again(attempts: Attempt[]): Promise<void> {
    const client = this.#client();
    for (const attempt of attempts) {
      const method = this.#methods.find(({ path }) => path === attempt.path)!;
      await this.#judged(method, attempt, makeCallAndJudge(client, method, attempt));
    }
    client.close();
  }

  /** On a connection of its own. */
  #client(): Client {
    return new Client(this.#coordinator.grpcAddress, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1, 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1,
    });
  }

  /** One call after the other. What it sends follows from seed, lane and number, and from what the coordinator answered before. */
  async #lane(lane: number, endMs: number): Promise<void> {
    const client = this.#client();
    const random = new Random(this.#options.seed * LANES + lane);
    while (performance.now() < endMs && !this.#witness.ended) {
      await this.#callOne(client, random);
    }
    client.close();
  }

  async #callOne(client: Client, random: Random): Promise<void> {
    const method = random.next() < LEASE_SHARE ? this.#lease : random.pick(this.#methods);
    if (method === this.#lease) {
      const attempt = { path: LEASE, messages: [] };
      await this.#judged(method, attempt, leaseAndJudge(client, method, attempt, random, this.#known, RECEIVE_BYTES_MAX));
    } else {
      const attempt = makeCall(method, random, this.#known, RECEIVE_BYTES_MAX);
      await this.#judged(method, attempt, makeCallAndJudge(client, method, attempt));
    }
  }

  async #judged(method: Method, attempt: Attempt, calling: Promise<{ answer: Answer; problem: string | undefined }>): Promise<void> {
    this.#underWay.add(attempt);
    this.#calls += 1;
    try {
      const { answer, problem } = await calling;
      this.#count(method, answer.brokenOff ? 'broken off' : code[answer.status.code]);
      if (problem === undefined) {
        answer.messages.forEach((message) => harvest(method.path, method.output, message, this.#known));
      } else {
        this.#found(problem, [attempt]);
      }
    } catch (error) {
      this.#found((error as Error).message, [attempt]);
    } finally {
      this.#underWay.delete(attempt);
    }
  }

  #count({ path }: Method, status: string): void {
    const key = `${path.split('/').at(-1)} ${status}`;
    this.#answers.set(key, (this.#answers.get(key) ?? 0) + 1);
  }

  #found(problem: string, attempts: Attempt[]): void {
    if (this.#findings.length < FINDINGS_MAX) {
      const finding = { problem, attempts };
      this.#findings.push(finding);
      this.#options.onFinding?.(finding);
    }
  }
}
