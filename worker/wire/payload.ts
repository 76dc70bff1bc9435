import type { Payload } from '../../proto/gen/skiplease/v1/job.ts';
import type { Content, PayloadCodec } from '../codec/codec.ts';
import { viewOf } from './view.ts';

const jsonContentType = 'application/json';

/**
 * A value as content on the wire: undefined is none, bytes go as they are, anything else as JSON text.
 * The text travels in `data` with its content type, which the coordinator stores without looking inside.
 * Throws TypeError for what JSON cannot hold (a BigInt, a cycle).
 */
export function payloadFrom(value: unknown, contentType = '', codec?: PayloadCodec): Payload | undefined {
  const content = contentFrom(value, contentType);
  if (content === undefined) return undefined;
  const { data, contentType: type } = codec === undefined ? content : codec.encode(content);
  return { content: { $case: 'data', value: data }, contentType: type };
}

function contentFrom(value: unknown, contentType: string): Content | undefined {
  if (value === undefined) return undefined;
  if (value instanceof Uint8Array) return { data: value, contentType };
  const text = JSON.stringify(value);
  return text === undefined ? undefined : { data: Buffer.from(text), contentType: jsonContentType };
}

/** Content from the wire as a value: JSON parsed, other content types as bytes, none as undefined. */
export function valueFrom(payload: Payload | undefined, codec?: PayloadCodec): unknown {
  return readPayload(payload, codec)?.value;
}

/** The same, with its content type. */
export function readPayload(payload: Payload | undefined, codec?: PayloadCodec): { value: unknown; contentType: string } | undefined {
  const content = payload?.content;
  switch (content?.$case) {
    case undefined:
      return undefined;
    case 'data': {
      const stored = { data: content.value, contentType: payload!.contentType };
      const { data, contentType } = codec === undefined ? stored : codec.decode(stored);
      return { value: contentType === jsonContentType ? parseJson(data) : data, contentType };
    }
    case 'json':
      return { value: content.value, contentType: payload!.contentType };
    case 'jsonText':
      return { value: JSON.parse(content.value), contentType: payload!.contentType };
  }
}

/** Throws SyntaxError when the bytes are not JSON text. */
export function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse((bytes instanceof Buffer ? bytes : viewOf(bytes)).toString('utf8'));
}
