import type { FieldViolation } from '../errors.ts';

/**
 * A google.protobuf.Struct holds numbers as doubles, and each level of nesting as three messages, of which decoders take
 * a hundred. What it cannot hold exactly is refused on the way in and shown as text on the way out: never rounded in silence.
 */
export const STRUCT_DEPTH_MAX = 30;

/** What a Struct, as it arrived, does not hold exactly: the first such place. */
export function jsonInexactness(value: unknown, field: string, depth = 1): FieldViolation | undefined {
  if (typeof value === 'number') {
    return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)) ? undefined : {
      field,
      description: Number.isFinite(value)
        ? 'a whole number outside ±(2^53 - 1) cannot be held exactly in json: send it in json_text'
        : 'NaN and Infinity are not JSON',
    };
  }
  if (value === undefined) {
    return { field, description: 'a google.protobuf.Value without a kind' };
  }
  if (typeof value !== 'object' || value === null) {
    return undefined;
  }
  if (depth > STRUCT_DEPTH_MAX) {
    return { field, description: `nested deeper than ${STRUCT_DEPTH_MAX} levels: send it in json_text` };
  }
  for (const [key, member] of Object.entries(value)) {
    if (typeof member === 'object' || typeof member === 'number' || member === undefined) {
      const inexact = jsonInexactness(member, Array.isArray(value) ? `${field}[${key}]` : `${field}.${key}`, depth + 1);
      if (inexact !== undefined) {
        return inexact;
      }
    }
  }
  return undefined;
}

/** The object that a JSON text is, when a Struct holds it exactly; undefined when it does not. Throws when the text is no JSON. */
export function structExactly(text: string): Record<string, unknown> | undefined {
  let exact = true;
  let members = 0;
  const value = JSON.parse(text, function reviver(this: unknown, key: string, member: unknown, context?: { source?: string }) {
    if (typeof member === 'number') {
      exact &&= sameNumber(context!.source!, member);
    } else if (typeof member === 'string') {
      exact &&= member.isWellFormed();
    }
    if (typeof this === 'object' && !Array.isArray(this)) {
      members += 1;
      exact &&= key.isWellFormed() && key !== '__proto__';
    }
    return member;
  } as (this: unknown, key: string, value: unknown) => unknown) as unknown;
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  // The reviver is called once more, for the whole. A name that was given twice was parsed once.
  return isObject && exact && members - 1 === countColons(text) && depthOf(value) <= STRUCT_DEPTH_MAX
    ? value as Record<string, unknown>
    : undefined;
}

/** Whether a double is the very number that was written. */
function sameNumber(source: string, value: number): boolean {
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
    return false;
  }
  return source === String(value) || canonical(source) === canonical(String(value));
}

/** Sign, digits without zeros around them, and the exponent of the last digit. */
function canonical(number: string): string {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number)!;
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const trimmed = withoutZerosAtEnd(digits);
  return trimmed === '' ? `${sign}0` : `${sign}${trimmed}e${Number(exponent) - fraction.length + digits.length - trimmed.length}`;
}

/** A regular expression would try anew at each zero: minutes for a number of a million digits, of which anybody may send one. */
function withoutZerosAtEnd(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') {
    end -= 1;
  }
  return digits.slice(0, end);
}

/** Members of all objects in a valid JSON text: the colons outside its strings. */
function countColons(text: string): number {
  let colons = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (inString && code === 0x5c) {
      index += 1;
    } else if (code === 0x22) {
      inString = !inString;
    } else if (code === 0x3a && !inString) {
      colons += 1;
    }
  }
  return colons;
}

function depthOf(value: unknown): number {
  let depth = 0;
  for (let level: unknown[] = [value]; level.length > 0; depth += 1) {
    level = level.flatMap((item): unknown[] => (typeof item === 'object' && item !== null ? Object.values(item) : []))
      .filter((item) => typeof item === 'object' && item !== null);
  }
  return depth;
}
