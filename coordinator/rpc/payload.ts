import { Struct } from '../../proto/gen/google/protobuf/struct.ts';
import type { Payload } from '../../proto/gen/skiplease/v1/job.ts';
import type { FieldViolation } from '../errors.ts';
import { parseJson } from '../parse_json.ts';
import { jsonInexactness, structExactly } from './exact_json.ts';

const JSON_TYPE = 'application/json';
const CONTENT_TYPE_CHARACTERS_MAX = 127;
const CONTENT_TYPE_FORM = /^[\x21-\x7e][\x20-\x7e]*$/;
/** A Struct takes several times the bytes of its JSON text; beyond this the text is shown, so that the message stays receivable. */
const STRUCT_BYTES_MAX = 2 * 1024 * 1024;
/** JSON text below this never becomes a Struct above that. */
const STRUCT_UNMEASURED_BYTES = 128 * 1024;

const NOTHING = new Uint8Array(0);
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What is stored. */
export interface Content {
  bytes: Uint8Array;
  /** null: application/octet-stream. */
  contentType: string | null;
}

/** Bytes and content type of a payload, at most `bytesMax` long; adds a violation for each thing that is wrong. */
export function storedContent(payload: Payload | undefined, bytesMax: number, field: string, violations: FieldViolation[]): Content {
  const given = payload?.contentType ?? '';
  const content = payload?.content;
  if (content === undefined || content.$case === 'data') {
    const bytes = content?.value ?? NOTHING;
    if (given !== '' && (given.length > CONTENT_TYPE_CHARACTERS_MAX || !CONTENT_TYPE_FORM.test(given))) {
      const description = `must be at most ${CONTENT_TYPE_CHARACTERS_MAX} printable ASCII characters`;
      violations.push({ field: `${field}.content_type`, description });
    }
    checkLength(bytes.byteLength, bytesMax, content === undefined ? field : `${field}.data`, violations);
    return { bytes, contentType: given === '' || given === 'application/octet-stream' ? null : given };
  }
  if (given !== '' && given !== JSON_TYPE) {
    violations.push({ field: `${field}.content_type`, description: `must be empty or ${JSON_TYPE} with json and json_text` });
  }
  const part = content.$case === 'json' ? `${field}.json` : `${field}.json_text`;
  const text = content.$case === 'json' ? structText(content.value ?? {}, part, violations) : checkedText(content.value, part, violations);
  const bytes = Buffer.from(text, 'utf8');
  checkLength(bytes.byteLength, bytesMax, part, violations);
  return { bytes, contentType: JSON_TYPE };
}

/** How stored bytes are shown: JSON as a Struct where that holds it exactly, else as its text; all else as bytes. */
export function shownPayload(bytes: Uint8Array, contentType: string | null): Payload {
  const data: Payload = { content: { $case: 'data', value: bytes }, contentType: contentType ?? 'application/octet-stream' };
  if (contentType !== JSON_TYPE) {
    return data;
  }
  let text: string;
  let value: unknown;
  try {
    text = strictUtf8.decode(bytes);
    value = structExactly(text);
  } catch {
    // Sent as bytes on the fast path, where nobody looks inside: shown as it is.
    return data;
  }
  return value !== undefined && isReceivable(value as Record<string, unknown>, bytes.byteLength)
    ? { content: { $case: 'json', value: value as Record<string, unknown> }, contentType: JSON_TYPE }
    : { content: { $case: 'jsonText', value: text }, contentType: JSON_TYPE };
}

function isReceivable(value: Record<string, unknown>, textBytes: number): boolean {
  return textBytes <= STRUCT_UNMEASURED_BYTES || Struct.encode(Struct.wrap(value)).finish().byteLength <= STRUCT_BYTES_MAX;
}

function structText(value: Record<string, unknown>, field: string, violations: FieldViolation[]): string {
  const inexact = jsonInexactness(value, field);
  if (inexact !== undefined) {
    violations.push(inexact);
    return '';
  }
  return JSON.stringify(value);
}

function checkedText(text: string, field: string, violations: FieldViolation[]): string {
  try {
    parseJson(text);
  } catch (error) {
    violations.push({ field, description: `is ${(error as Error).message}` });
  }
  return text;
}

function checkLength(bytes: number, bytesMax: number, field: string, violations: FieldViolation[]): void {
  if (bytes > bytesMax) {
    violations.push({ field, description: `is ${bytes} bytes long: at most ${bytesMax} are accepted` });
  }
}
