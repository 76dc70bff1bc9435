/** Bytes and what they are: a payload, a result or a checkpoint. */
export interface Content {
  data: Uint8Array;
  /** Empty where it is not known: of checkpoints only the bytes are kept. */
  contentType: string;
}

/**
 * Stands between what an application says and what is sent and stored: encryption, say, or compression. The coordinator keeps its
 * bytes and looks at none of them. Both functions are called for every payload, result and checkpoint, and return at once.
 */
export interface PayloadCodec {
  /** What is sent instead. */
  encode(content: Content): Content;
  /** The reverse. What was not encoded (before there was a codec, or by SQL) is returned as it is. Throws what it cannot read. */
  decode(content: Content): Content;
}

/** A payload or checkpoint that the worker's codec cannot read: the attempt fails, and another worker may have the key. */
export class UnreadableContentError extends Error {
  readonly code = 'CONTENT_UNREADABLE';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UnreadableContentError';
  }
}
