import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { UnreadableContentError } from './codec.ts';
import type { Content, PayloadCodec } from './codec.ts';

/** Keys by their ids, and which of them encrypts. */
export interface AesGcmKeys {
  /** 32 bytes each. An id has 1 to 64 characters of ASCII, and is not secret. */
  keys: Readonly<Record<string, Uint8Array>>;
  /** The id of the key that is used from now on; the others only decrypt. */
  current: string;
}

/** What says, in front of the bytes, that and how they are encrypted. */
const MAGIC = Buffer.from('SKE1');
const CONTENT_TYPE = 'application/vnd.skiplease.aes-gcm';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_FORM = /^[\x21-\x7e]{1,64}$/;

/**
 * Encrypts with AES-256-GCM. To rotate: give all workers and submitters the new key, then make it `current`, and take the old one away
 * once no job of it is left. Nonces are random: exchange a key before it has encrypted 2^32 (four thousand million) contents.
 *
 * `SKE1`, length of the key's id, the id, nonce, tag; then, encrypted, the length of the content type, the content type, the content.
 * Throws TypeError for keys that cannot be used.
 */
export function aesGcmCodec({ keys, current }: AesGcmKeys): PayloadCodec {
  for (const [id, key] of Object.entries(keys)) {
    if (!KEY_ID_FORM.test(id)) throw new TypeError('the id of a key must be 1 to 64 characters of ASCII');
    if (key.length !== KEY_BYTES) throw new TypeError(`the key ${id} must have ${KEY_BYTES} bytes, not ${key.length}`);
  }
  if (!Object.hasOwn(keys, current)) throw new TypeError(`the current key ${current} is not among the keys`);
  return {
    encode: (content) => ({ data: encrypt(content, current, keys[current]!), contentType: CONTENT_TYPE }),
    decode: (content) => (isEncrypted(content.data) ? decrypt(content.data, keys) : content),
  };
}

function isEncrypted(data: Uint8Array): boolean {
  return data.length > MAGIC.length && MAGIC.equals(data.subarray(0, MAGIC.length));
}

function encrypt({ data, contentType }: Content, keyId: string, key: Uint8Array): Buffer {
  const header = Buffer.concat([MAGIC, Buffer.from([keyId.length]), Buffer.from(keyId)]);
  const nonce = randomBytes(NONCE_BYTES);
  const type = Buffer.from(contentType.slice(0, 255), 'latin1');
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(header);
  const encrypted = [cipher.update(Buffer.concat([Buffer.from([type.length]), type])), cipher.update(data), cipher.final()];
  return Buffer.concat([header, nonce, cipher.getAuthTag(), ...encrypted]);
}

function decrypt(data: Uint8Array, keys: AesGcmKeys['keys']): Content {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const headerBytes = MAGIC.length + 1 + bytes[MAGIC.length]!;
  const keyId = bytes.toString('latin1', MAGIC.length + 1, headerBytes);
  if (!Object.hasOwn(keys, keyId)) throw new UnreadableContentError('the content is encrypted with a key that is not among the keys here');
  const nonceEnd = headerBytes + NONCE_BYTES;
  const tagEnd = nonceEnd + TAG_BYTES;
  try {
    const decipher = createDecipheriv(CIPHER, keys[keyId]!, bytes.subarray(headerBytes, nonceEnd), { authTagLength: TAG_BYTES })
      .setAAD(bytes.subarray(0, headerBytes)).setAuthTag(bytes.subarray(nonceEnd, tagEnd));
    const plain = Buffer.concat([decipher.update(bytes.subarray(tagEnd)), decipher.final()]);
    const typeEnd = 1 + plain[0]!;
    return { data: plain.subarray(typeEnd), contentType: plain.toString('latin1', 1, typeEnd) };
  } catch (error) {
    throw new UnreadableContentError('the content is not what was encrypted: it was changed or cut on its way', { cause: error });
  }
}
