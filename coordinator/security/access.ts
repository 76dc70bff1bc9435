/** What one may be allowed to do, each for some queues. `admin` is all of them. */
export const CAPABILITIES = ['submit', 'work', 'read', 'operate', 'admin'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** Capabilities for queues: by name (`payments`), by how names begin (`payments-*`), or all (`*`). */
export interface Grant {
  can: readonly Capability[];
  queues: readonly string[];
}

/** Queue names come from callers: no more of them are remembered. */
const REMEMBERED_QUEUES_MAX = 10_000;

const BITS = Object.fromEntries(CAPABILITIES.map((capability, index) => [capability, 1 << index])) as Record<Capability, number>;
const ALL_BITS = (1 << CAPABILITIES.length) - 1;
const ALL_QUEUES = '*';

/** Who calls, and what that identity may do. A question is a look into a map. */
export class Access {
  /** Empty: nobody was asked. */
  readonly name: string;
  /** When what proved it ends: Unix milliseconds. */
  readonly expiresAtMs: number;
  /** Nobody is asked here: everybody may do everything. */
  readonly unrestricted: boolean;
  readonly #exact = new Map<string, number>();
  readonly #prefixes: { prefix: string; bits: number }[] = [];
  readonly #remembered = new Map<string, number>();

  constructor(name: string, grants: readonly Grant[], { expiresAtMs = Infinity, unrestricted = false } = {}) {
    this.name = name;
    this.expiresAtMs = expiresAtMs;
    this.unrestricted = unrestricted;
    for (const { can, queues } of grants) {
      const bits = can.reduce((all, capability) => all | (capability === 'admin' ? ALL_BITS : BITS[capability]), 0);
      for (const pattern of queues) {
        if (pattern.endsWith('*')) {
          this.#prefixes.push({ prefix: pattern.slice(0, -1), bits });
        } else {
          this.#exact.set(pattern, bits | (this.#exact.get(pattern) ?? 0));
        }
      }
    }
  }

  may(capability: Capability, queue: string): boolean {
    return (this.#bitsOf(queue) & BITS[capability]) !== 0;
  }

  mayInEveryQueue(capability: Capability): boolean {
    // No queue is called *, and only the prefix of all of them begins it.
    return this.may(capability, ALL_QUEUES);
  }

  mayInSomeQueue(capability: Capability): boolean {
    const has = (bits: number) => (bits & BITS[capability]) !== 0;
    return this.#prefixes.some(({ bits }) => has(bits)) || [...this.#exact.values()].some(has);
  }

  #bitsOf(queue: string): number {
    let bits = this.#remembered.get(queue);
    if (bits === undefined) {
      bits = this.#exact.get(queue) ?? 0;
      for (const { prefix, bits: more } of this.#prefixes) {
        bits |= queue.startsWith(prefix) ? more : 0;
      }
      if (this.#remembered.size >= REMEMBERED_QUEUES_MAX) {
        this.#remembered.clear();
      }
      this.#remembered.set(queue, bits);
    }
    return bits;
  }
}

/** What everybody has while nobody is asked who they are. */
export const UNRESTRICTED = new Access('', [{ can: ['admin'], queues: [ALL_QUEUES] }], { unrestricted: true });
