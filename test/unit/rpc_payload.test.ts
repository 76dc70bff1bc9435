import test from 'ava';
import fc from 'fast-check';
import { Payload } from '../../proto/gen/skiplease/v1/job.ts';
import type { FieldViolation } from '../../coordinator/errors.ts';
import { STRUCT_DEPTH_MAX, structExactly } from '../../coordinator/rpc/exact_json.ts';
import { shownPayload, storedContent } from '../../coordinator/rpc/payload.ts';

const LIMIT = 1_000_000;

function store(payload: Payload): { text: string; contentType: string | null; violations: FieldViolation[] } {
  const violations: FieldViolation[] = [];
  // Over the wire first: what the generated code makes of it is what arrives.
  const { bytes, contentType } = storedContent(Payload.decode(Payload.encode(payload).finish()), LIMIT, 'payload', violations);
  return { text: Buffer.from(bytes).toString('utf8'), contentType, violations };
}

const json = (value: Record<string, unknown>): Payload => ({ content: { $case: 'json', value }, contentType: '' });
const text = (value: string): Payload => ({ content: { $case: 'jsonText', value }, contentType: '' });

test('bytes stay bytes, with their content type', (t) => {
  t.like(store({ content: { $case: 'data', value: Buffer.from('{') }, contentType: 'application/json' }), { text: '{', contentType: 'application/json', violations: [] });
  t.is(store({ content: { $case: 'data', value: Buffer.from('x') }, contentType: 'application/octet-stream' }).contentType, null);
  t.like(store({ content: undefined, contentType: '' }), { text: '', contentType: null, violations: [] });
});

test('JSON is stored as text, either way', (t) => {
  t.like(store(json({ a: [1, null, 'ä', { b: 1.5 }] })), { text: '{"a":[1,null,"ä",{"b":1.5}]}', contentType: 'application/json', violations: [] });
  t.like(store(text(' {"n": 12345678901234567890} ')), { text: ' {"n": 12345678901234567890} ', contentType: 'application/json', violations: [] });
});

for (const [what, payload, field] of [
  ['a whole number that a double cannot hold', json({ a: { b: [1, 2 ** 53] } }), 'payload.json.a.b[1]'],
  ['a negative one', json({ a: -(2 ** 53) }), 'payload.json.a'],
  ['NaN', json({ a: Number.NaN }), 'payload.json.a'],
  ['Infinity', json({ a: Number.POSITIVE_INFINITY }), 'payload.json.a'],
  ['text that is no JSON', text('{"a":'), 'payload.json_text'],
  ['another content type with JSON', { ...text('{}'), contentType: 'text/plain' }, 'payload.content_type'],
  ['a content type that is too long', { content: undefined, contentType: 'a'.repeat(128) }, 'payload.content_type'],
  ['a content type with a line break', { content: undefined, contentType: 'a\nb' }, 'payload.content_type'],
  ['JSON over the limit', text(`"${'x'.repeat(LIMIT)}"`), 'payload.json_text'],
] as [string, Payload, string][]) {
  test(`${what} is refused at ${field}`, (t) => {
    t.deepEqual(store(payload).violations.map((violation) => violation.field), [field]);
  });
}

test('2^53 - 1 is held exactly', (t) => {
  t.deepEqual(store(json({ a: Number.MAX_SAFE_INTEGER, b: -Number.MAX_SAFE_INTEGER })).violations, []);
});

for (const [what, stored, shown] of [
  ['an object', '{"a": [1.50, 1e2, "x"], "b": {}}', 'json'],
  ['a decimal that a double shows in other digits', '{"a": 0.12345678901234567890}', 'jsonText'],
  ['a whole number that is too large', '{"a": 9007199254740993}', 'jsonText'],
  ['a whole number that is just small enough', '{"a": 9007199254740991}', 'json'],
  ['minus zero', '{"a": -0}', 'jsonText'],
  ['a name that comes twice', '{"a": 1, "a": 2}', 'jsonText'],
  ['a name that comes twice, spelled otherwise', '{"a": 1, "\\u0061": 2}', 'jsonText'],
  ['colons in strings', '{"a:b": ":\\":", "c": "\\\\"}', 'json'],
  ['half a surrogate pair', '{"a": "\\ud800"}', 'jsonText'],
  ['a name that JavaScript objects cannot have', '{"__proto__": {"a": 1}}', 'jsonText'],
  ['an array', '[1]', 'jsonText'],
  ['a number', '1', 'jsonText'],
  ['no JSON at all', '{"a"', 'data'],
  ['more levels than decoders take', `{"a":${'['.repeat(STRUCT_DEPTH_MAX)}${']'.repeat(STRUCT_DEPTH_MAX)}}`, 'jsonText'],
] as const) {
  test(`${what} is shown as ${shown}`, (t) => {
    const payload = shownPayload(Buffer.from(stored), 'application/json');
    t.is(payload.content!.$case, shown);
    const arrived = Payload.decode(Payload.encode(payload).finish());
    if (arrived.content?.$case === 'json') {
      t.deepEqual(arrived.content.value, JSON.parse(stored));
    } else {
      t.is(Buffer.from(arrived.content!.value as string).toString(), stored);
    }
  });
}

test('bytes that are no UTF-8 are shown as they are', (t) => {
  t.is(shownPayload(Buffer.from([0x22, 0xff, 0x22]), 'application/json').content!.$case, 'data');
  t.is(shownPayload(Buffer.from('{}'), null).content!.$case, 'data');
});

test('a Struct that would not fit into a message is shown as text', (t) => {
  const big = JSON.stringify({ a: Array.from({ length: 300_000 }, () => 0) });
  t.is(shownPayload(Buffer.from(big), 'application/json').content!.$case, 'jsonText');
});

test('what is submitted as JSON comes back as JSON, the same', (t) => {
  fc.assert(fc.property(fc.dictionary(fc.string().filter((key) => key !== '__proto__'), fc.jsonValue({ maxDepth: 4 })), (value) => {
    const stored = store(json(value));
    fc.pre(stored.violations.length === 0);
    const shown = shownPayload(Buffer.from(stored.text), stored.contentType);
    return shown.content?.$case !== 'json' || JSON.stringify(shown.content.value) === stored.text;
  }), { numRuns: 300 });
  t.pass();
});

test('a text is taken for exact only when nothing is lost', (t) => {
  fc.assert(fc.property(fc.json({ maxDepth: 3 }), (source) => {
    const value = structExactly(source);
    return value === undefined || JSON.stringify(value) === JSON.stringify(JSON.parse(source));
  }), { numRuns: 300 });
  t.pass();
});

test('a number of half a million digits is shown as soon as any other text', (t) => {
  const number = `1${'0'.repeat(500_000)}1`;
  const startedMs = performance.now();
  for (const stored of [`{"a": ${number}}`, `{"a": 0.${number}}`, `{"a": 1e${number}}`, `{"a": 1.${'0'.repeat(500_000)}1}`]) {
    t.is(shownPayload(Buffer.from(stored), 'application/json').content?.$case, 'jsonText');
  }
  t.true(performance.now() - startedMs < 5_000);
});
