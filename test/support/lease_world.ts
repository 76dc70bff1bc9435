import { JobClient, type NewJob } from '../../worker/index.ts';
import { startCoordinator, type TestCoordinator } from './coordinator.ts';
import { createTestDatabase } from './database.ts';
import { LeaseClient, type HelloOptions } from './lease_client.ts';
import { Operator } from './lease_operator.ts';
import { Records } from './lease_records.ts';
import { startTcpProxy } from './tcp_proxy.ts';

/** A coordinator and those who ask it. */
export interface Member extends TestCoordinator {
  operator: Operator;
  /** Submits to this coordinator alone, and tries once: errors are for the test to see. */
  client: JobClient;
}

/** Coordinators side by side on one database, and what a test needs to talk to them. */
export interface World {
  members: Member[];
  addresses: string[];
  records: Records;
  databaseUrl: string;
  /** Submits, through the first coordinator, so many jobs of type `work` to a queue. Resolves to their ids. */
  submit(queue: string, count: number, job?: Partial<NewJob>): Promise<string[]>;
  /** Opens a stream to a coordinator (default: the first) and says hello. */
  worker(hello: HelloOptions, member?: number): Promise<LeaseClient>;
  /** The same, through a proxy of its own, so that its connection can be broken, or slowed down. */
  breakableWorker(hello: HelloOptions, member?: number): Promise<LeaseClient>;
  /** Starts one more coordinator, with settings of its own beside the world's. */
  join(environment?: Record<string, string>): Promise<Member>;
  /** Cancels what streams are left, stops the coordinators that still run, and drops the database. */
  end(): Promise<void>;
}

export interface WorldOptions {
  coordinators?: number;
  leaseTtlMs?: number;
  /** Default: a database of its own on the run's server, dropped at the end. */
  databaseUrl?: string;
  environment?: Record<string, string>;
}

export async function startWorld({ coordinators = 1, leaseTtlMs = 2_000, databaseUrl, environment = {} }: WorldOptions = {}): Promise<World> {
  const database = databaseUrl === undefined ? await createTestDatabase() : undefined;
  const url = databaseUrl ?? database!.url;
  const records = new Records(url);
  const streams: LeaseClient[] = [];
  const members: Member[] = [];

  const open = async (stream: LeaseClient, hello: HelloOptions): Promise<LeaseClient> => {
    streams.push(stream);
    await stream.hello(hello);
    return stream;
  };
  const start = async (own: Record<string, string> = {}): Promise<Member> => {
    const running = await startCoordinator({
      databaseUrl: url,
      environment: { SKIPLEASE_LEASE_TTL_MS: String(leaseTtlMs), SKIPLEASE_DRAIN_DEADLINE_MS: '3000', ...environment, ...own },
    });
    const { grpcAddress } = running;
    const member = { ...running, operator: new Operator(grpcAddress), client: new JobClient({ addresses: [grpcAddress], triesMax: 1 }) };
    void running.exited.then(() => {
      member.operator.close();
      member.client.close();
    });
    return member;
  };
  members.push(...(await Promise.all(Array.from({ length: coordinators }, () => start()))));

  return {
    members,
    get addresses() {
      return members.map(({ grpcAddress }) => grpcAddress);
    },
    records,
    databaseUrl: url,
    submit: async (queue, count, job = {}) => {
      const jobs = Array.from({ length: count }, () => ({ queue, type: 'work', ...job }));
      return (await members[0]!.client.submitMany(jobs)).map(({ id }) => id);
    },
    worker: (hello, member = 0) => open(new LeaseClient(members[member]!.grpcAddress), hello),
    breakableWorker: async (hello, member = 0) => {
      const { grpcAddress } = members[member]!;
      return open(new LeaseClient(grpcAddress, {}, await startTcpProxy(grpcAddress)), hello);
    },
    join: async (own) => {
      const member = await start(own);
      members.push(member);
      return member;
    },
    end: async () => {
      await Promise.all(streams.map((stream) => stream.cancel()));
      await Promise.all(members.map(async (member) => {
        member.kill('SIGCONT');
        await member.stop();
      }));
      await records.close();
      await database?.drop();
    },
  };
}
