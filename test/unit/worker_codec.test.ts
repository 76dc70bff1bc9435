import { randomBytes } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { aesGcmCodec } from '../../worker/codec/aes_gcm.ts';
import { UnreadableContentError } from '../../worker/codec/codec.ts';
import { specFrom } from '../../worker/new_job.ts';
import { payloadFrom, valueFrom } from '../../worker/wire/payload.ts';

const keys = { spring: randomBytes(32), autumn: randomBytes(32) };
const codec = aesGcmCodec({ keys, current: 'autumn' });

test('whatever goes in comes out, and cannot be seen in between', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom('', 'application/json', 'text/plain; charset=utf-8'), (data, contentType) => {
    const encoded = codec.encode({ data, contentType });
    const decoded = codec.decode(encoded);
    t.is(encoded.contentType, 'application/vnd.skiplease.aes-gcm');
    t.is(decoded.contentType, contentType);
    t.deepEqual(new Uint8Array(decoded.data), data);
  }), { numRuns: 200 });
  const { data } = codec.encode({ data: Buffer.from('4111 1111 1111 1111'), contentType: '' });
  t.false(Buffer.from(data).includes('4111'));
  t.notDeepEqual(codec.encode({ data: Buffer.from('x'), contentType: '' }), codec.encode({ data: Buffer.from('x'), contentType: '' }), 'no nonce is used twice');
});

test('a rotated key still decrypts; one that was taken away does not; what was never encrypted is read as it is', (t) => {
  const old = aesGcmCodec({ keys, current: 'spring' }).encode({ data: Buffer.from('old'), contentType: '' });
  t.is(Buffer.from(codec.decode(old).data).toString(), 'old');
  const without = aesGcmCodec({ keys: { autumn: keys.autumn }, current: 'autumn' });
  t.throws(() => without.decode(old), { instanceOf: UnreadableContentError, message: /a key that is not among the keys/ });
  const plain = { data: Buffer.from('{"plain":true}'), contentType: 'application/json' };
  t.is(codec.decode(plain), plain);
});

test('not a bit can be changed', (t) => {
  const { data, contentType } = codec.encode({ data: Buffer.from('pay 10'), contentType: 'text/plain' });
  for (let index = 4; index < data.length; index += 1) {
    const changed = Buffer.from(data);
    changed[index]! ^= 1;
    t.throws(() => codec.decode({ data: changed, contentType }), { instanceOf: UnreadableContentError }, `byte ${index}`);
    t.throws(() => codec.decode({ data: data.subarray(0, index + 1 === data.length ? index : index + 1), contentType }), { instanceOf: UnreadableContentError });
  }
});

test('keys that cannot be used are refused', (t) => {
  t.throws(() => aesGcmCodec({ keys: { a: randomBytes(16) }, current: 'a' }), { instanceOf: TypeError, message: /must have 32 bytes/ });
  t.throws(() => aesGcmCodec({ keys: { a: randomBytes(32) }, current: 'b' }), { instanceOf: TypeError, message: /not among the keys/ });
  t.throws(() => aesGcmCodec({ keys: { 'ü': randomBytes(32) }, current: 'ü' }), { instanceOf: TypeError, message: /ASCII/ });
});

test('payloads are written and read through the codec', (t) => {
  const payload = payloadFrom({ card: '4111' }, '', codec);
  t.is(payload?.contentType, 'application/vnd.skiplease.aes-gcm');
  t.deepEqual(valueFrom(payload, codec), { card: '4111' });
  t.is(specFrom({ queue: 'q', type: 't' }, codec).payload, undefined);
});
