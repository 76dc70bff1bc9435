import test from 'ava';
import fc from 'fast-check';
import { MessageUnderWay } from '../../coordinator/rpc/message_under_way.ts';

function message(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function pieces(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const cut: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < bytes.length; index += 1) {
    const length = lengths[index % lengths.length]!;
    cut.push(bytes.subarray(at, at + length));
    at += length;
  }
  return cut;
}

test('messages are counted, however they are cut', (t) => {
  fc.assert(fc.property(
    fc.array(fc.nat(300), { minLength: 1, maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
    (lengths, cuts) => {
      const underWay = new MessageUnderWay();
      const all = Buffer.concat(lengths.map((length) => message(length)));
      pieces(all, cuts).forEach((piece) => underWay.add(piece));
      t.true(underWay.complete);
      t.is(underWay.number, lengths.length);
      t.is(underWay.bytes, lengths.at(-1)!);
    },
  ));
});

test('one that is not complete takes the memory of its pieces, each once, and something for each piece', (t) => {
  const underWay = new MessageUnderWay();
  const alone = (length: number) => Buffer.from(new ArrayBuffer(length));
  const head = alone(5);
  message(1_000).copy(head, 0, 0, 5);
  underWay.add(head);
  t.false(underWay.complete);
  const headBytes = underWay.bytes;
  const shared = alone(64_000);
  underWay.add(shared.subarray(0, 1));
  t.true(underWay.bytes - headBytes > 64_000);
  const oneMore = underWay.bytes;
  underWay.add(shared.subarray(1, 2));
  t.true(underWay.bytes - oneMore < 1_000);
  t.true(underWay.bytes > oneMore);
  underWay.add(alone(998));
  t.true(underWay.complete);
  t.is(underWay.bytes, 1_000);
});
