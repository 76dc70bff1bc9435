import type { handleServerStreamingCall, ServerWritableStream } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';
import { writeThrough } from './writing.ts';

/** Ids that are watched at once on this coordinator, of each kind. */
const WATCHED_MAX = 5_000;
/** After a hint the next look comes no sooner than this after the last one: milliseconds. */
const LOOK_GAP_MS = 50;
/** No more than so large a part of the time goes into looking: one in so many. */
const LOOK_COST_FACTOR = 10;
/** After the database could not answer. */
const LOOK_AGAIN_MS = 1_000;
/** Of messages that slow readers have not taken yet, all together: beyond, nobody is sent more until some are taken, or their readers let go. */
const UNREAD_BYTES_MAX = 67_108_864;

/** What a look sees of one id. The mark changes whenever anything that a watcher is shown changes. */
export interface Look {
  id: string;
  mark: string;
}

/** The newest state of one id, with the mark that it had then. */
export interface News<Response> extends Look {
  response: Response;
  /** It will not change again. */
  final: boolean;
  /** What the message weighs, about. */
  bytes: number;
}

/** One kind of what can be watched: jobs, queues. */
export interface WatchKind<Request, Looked extends Look, Response> {
  /** In the plural, for people. */
  name: string;
  /** What is to be watched; throws where the request is wrong. */
  idsOf(request: Request): string[];
  /** How often everything that is watched is looked at, unless a hint comes first: milliseconds. */
  intervalMs: number;
  /** What is there of these, each asked for once; those that are not are left out. */
  look(ids: string[]): Promise<Looked[]>;
  /** At most so many are read at once. */
  readMax: number;
  /** The newest state of what has changed; may leave out what is gone by now. */
  read(looks: Looked[]): Promise<News<Response>[]>;
  /** What is told of an id that is not there. */
  missing(id: string): SkipleaseError;
}

type Call<Response> = ServerWritableStream<unknown, Response>;

interface Watch<Response> {
  call: Call<Response>;
  /** By id, what was last sent; undefined: nothing yet. Final ones are taken out. */
  marks: Map<string, string | undefined>;
  /** It has not taken the last message yet. Meanwhile changes are not kept for it: it gets the newest when it reads on. */
  busy: boolean;
  /** It was passed over while it was busy: it is looked at again once it is not. */
  behind: boolean;
}

/**
 * The watches of one kind, for everybody on this coordinator: one poller, however many watch, that rests when nobody does.
 * Each is sent the state that it begins with, then later ones, in order, and ends once all that it watches is final.
 */
export class Watcher<Request, Looked extends Look, Response> {
  readonly #kind: WatchKind<Request, Looked, Response>;
  readonly #statuses: StatusMapper;
  readonly #watches = new Set<Watch<Response>>();
  #watched = 0;
  #unreadBytes = 0;
  #running = false;
  /** A hint came since the last look began. */
  #hinted = false;
  #wake: (() => void) | undefined;
  #stopped = false;

  constructor(kind: WatchKind<Request, Looked, Response>, statuses: StatusMapper) {
    this.#kind = kind;
    this.#statuses = statuses;
  }

  /** What the service answers such a call with. */
  readonly handler: handleServerStreamingCall<Request, Response> = (call) => {
    try {
      this.#add(call, this.#kind.idsOf(call.request));
    } catch (error) {
      this.#fail(call, error);
    }
  };

  /** Something may have changed, or somebody new waits for a first look. Costs nothing while nobody watches. */
  hint(): void {
    this.#hinted = true;
    this.#wake?.();
  }

  /** Ends every watch: the client asks another coordinator. */
  stop(): void {
    this.#stopped = true;
    for (const watch of this.#watches) {
      this.#end(watch, shuttingDown());
    }
    this.#wake?.();
  }

  #add(call: Call<Response>, ids: string[]): void {
    const watch = { call, marks: new Map(ids.map((id) => [id, undefined])), busy: false, behind: false };
    this.#refuseTooMany(watch.marks.size);
    this.#watches.add(watch);
    this.#watched += watch.marks.size;
    call.on('cancelled', () => this.#remove(watch));
    this.hint();
    if (!this.#running) {
      void this.#run();
    }
  }

  #refuseTooMany(more: number): void {
    if (this.#stopped) {
      throw shuttingDown();
    }
    if (this.#watched + more > WATCHED_MAX) {
      throw new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_WATCHES',
        `${this.#watched} ${this.#kind.name} are watched here already, of ${WATCHED_MAX} at most. Watch fewer, or ask another coordinator.`,
        { retryAfterMs: LOOK_AGAIN_MS });
    }
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#watches.size > 0) {
      this.#hinted = false;
      const startedMs = performance.now();
      const done = await this.#look().then(() => true, (error: unknown) => this.#lookFailed(error));
      const restMs = done ? Math.max(LOOK_GAP_MS, LOOK_COST_FACTOR * (performance.now() - startedMs)) : LOOK_AGAIN_MS;
      await this.#pause(restMs, false);
      if (!this.#hinted) {
        await this.#pause(Math.max(0, this.#kind.intervalMs - restMs), true);
      }
    }
    this.#running = false;
  }

  #pause(ms: number, untilHint: boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (untilHint || this.#stopped) {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  }

  async #look(): Promise<void> {
    const watches = [...this.#watches].filter(notBusy);
    const ids = [...new Set(watches.flatMap(({ marks }) => [...marks.keys()]))];
    if (ids.length === 0) {
      return;
    }
    const lookedMs = performance.now();
    const looks = new Map((await this.#kind.look(ids)).map((look) => [look.id, look]));
    const changed = this.#changed(watches, looks);
    const asked = [...changed.keys()];
    for (let first = 0; first < asked.length && this.#unreadBytes < UNREAD_BYTES_MAX; first += this.#kind.readMax) {
      const news = await this.#kind.read(asked.slice(first, first + this.#kind.readMax).map((id) => looks.get(id)!));
      for (const [watch, own] of shares(news, changed)) {
        if (notBusy(watch) && this.#watches.has(watch)) {
          void this.#send(watch, own, lookedMs);
        }
      }
    }
  }

  /** By id, the watches that have not seen its present state. Those of what is not there are ended. */
  #changed(watches: Watch<Response>[], looks: Map<string, Looked>): Map<string, Watch<Response>[]> {
    const changed = new Map<string, Watch<Response>[]>();
    for (const watch of watches) {
      const missing = [...watch.marks.keys()].find((id) => !looks.has(id));
      if (missing !== undefined) {
        this.#end(watch, this.#kind.missing(missing));
        continue;
      }
      for (const [id, mark] of watch.marks) {
        if (looks.get(id)!.mark !== mark) {
          append(changed, id, watch);
        }
      }
    }
    return changed;
  }

  /** One message after the other. What a slow reader has not come to within the time of a look is looked at anew for it. */
  async #send(watch: Watch<Response>, own: News<Response>[], lookedMs: number): Promise<void> {
    watch.busy = true;
    for (const { id, mark, response, final, bytes } of own) {
      if (watch.marks.get(id) === mark) {
        continue;
      }
      watch.marks.set(id, mark);
      this.#unreadBytes += bytes;
      try {
        if (!(await writeThrough(watch.call, response))) {
          this.#remove(watch);
          return;
        }
      } catch (error) {
        this.#end(watch, error);
        return;
      } finally {
        this.#unreadBytes -= bytes;
      }
      if (final) {
        this.#watched -= watch.marks.delete(id) ? 1 : 0;
      }
      if (performance.now() - lookedMs > this.#kind.intervalMs) {
        watch.behind = true;
        break;
      }
    }
    watch.busy = false;
    if (watch.marks.size === 0) {
      this.#remove(watch);
      watch.call.end();
    } else if (watch.behind) {
      watch.behind = false;
      this.hint();
    }
  }

  /** Who has seen nothing yet is told at once; the others wait for the database to come back. */
  #lookFailed(error: unknown): false {
    for (const watch of this.#watches) {
      if ([...watch.marks.values()].includes(undefined)) {
        this.#end(watch, error);
      }
    }
    return false;
  }

  #remove(watch: Watch<Response>): void {
    if (this.#watches.delete(watch)) {
      this.#watched -= watch.marks.size;
    }
  }

  #end(watch: Watch<Response>, error: unknown): void {
    this.#remove(watch);
    this.#fail(watch.call, error);
  }

  #fail(call: Call<Response>, error: unknown): void {
    call.emit('error', this.#statuses.forCall(error, call.getPath()));
  }
}

/** One that is busy is passed over, and remembers it. */
function notBusy(watch: Watch<unknown>): boolean {
  watch.behind ||= watch.busy;
  return !watch.busy;
}

/** What each watch is to be sent of the news. */
function shares<Response>(news: News<Response>[], changed: Map<string, Watch<Response>[]>): Map<Watch<Response>, News<Response>[]> {
  const given = new Map<Watch<Response>, News<Response>[]>();
  for (const one of news) {
    for (const watch of changed.get(one.id) ?? []) {
      append(given, watch, one);
    }
  }
  return given;
}

function append<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) {
    lists.set(key, [item]);
  } else {
    list.push(item);
  }
}

function shuttingDown(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'SHUTTING_DOWN', 'This coordinator is going away: ask another one.',
    { retryAfterMs: LOOK_AGAIN_MS });
}
