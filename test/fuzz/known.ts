import type { Random } from '../../worker/payments/random.ts';

/** So many of a kind are remembered, the newest. */
const KEPT_MAX = 200;

const KINDS = ['jobId', 'batchId', 'token', 'pageToken'] as const;
export type KnownKind = (typeof KINDS)[number];

/**
 * What the coordinator has told the fuzzer: ids and tokens that exist, so that messages get past the first check. Never from
 * lists, which name what belongs to the good client.
 */
export class Known {
  readonly #texts = new Map<KnownKind, string[]>(KINDS.map((kind) => [kind, []]));

  add(kind: KnownKind, text: string): void {
    const texts = this.#texts.get(kind)!;
    if (text !== '' && texts.push(text) > KEPT_MAX) {
      texts.shift();
    }
  }

  pick(kind: KnownKind, random: Random): string | undefined {
    const texts = this.#texts.get(kind)!;
    return texts.length === 0 ? undefined : random.pick(texts);
  }
}
