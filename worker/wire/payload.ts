import type { Payload } from '../../proto/gen/skiplease/v1/job.ts';
import { viewOf } from './view.ts';

const jsonContentType = 'application/json';

/**
 * A value as content on the wire: undefined is none, bytes go as they are, anything else as JSON text.
 * The text travels in `data` with its content type, which the coordinator stores without looking inside.
 * Throws TypeError for what JSON cannot hold (a BigInt, a cycle).
 */
export function payloadFrom(value: unknown, contentType = ''): Payload | undefined {
  if (value === undefined) return undefined;
  if (value instanceof Uint8Array) return { content: { $case: 'data', value }, contentType };
  const text = JSON.stringify(value);
  if (text === undefined) return undefined;
  return { content: { $case: 'data', value: Buffer.from(text) }, contentType: jsonContentType };
}

/** Content from the wire as a value: JSON parsed, other content types as bytes, none as undefined. */
export function valueFrom(payload: Payload | undefined): unknown {
  const content = payload?.content;
  switch (content?.$case) {
    case undefined:
      return undefined;
    case 'data':
      return payload?.contentType === jsonContentType ? parseJson(content.value) : content.value;
    case 'json':
      return content.value;
    case 'jsonText':
      return JSON.parse(content.value);
  }
}

/** Throws SyntaxError when the bytes are not JSON text. */
export function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse((bytes instanceof Buffer ? bytes : viewOf(bytes)).toString('utf8'));
}
