/** The example worker's TLS, from the files that its environment names. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { securityOf } from '../../worker/payments/places.ts';

test('no files: no TLS; what is named is read, and what is not there is told', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'skiplease-tls-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const [ca, cert, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) => join(folder, name));
  await Promise.all([ca, cert, key].map((file) => writeFile(file!, `PEM of ${file}`)));
  t.deepEqual(securityOf({ SKIPLEASE_TLS_CA_FILE: '' }), {});
  t.deepEqual(securityOf({ SKIPLEASE_TLS_CA_FILE: ca }), { tls: { ca: Buffer.from(`PEM of ${ca}`), cert: undefined, key: undefined } });
  const mutual = securityOf({ SKIPLEASE_TLS_CA_FILE: ca, SKIPLEASE_TLS_CERT_FILE: cert, SKIPLEASE_TLS_KEY_FILE: key });
  t.deepEqual(mutual, { tls: { ca: Buffer.from(`PEM of ${ca}`), cert: Buffer.from(`PEM of ${cert}`), key: Buffer.from(`PEM of ${key}`) } });
  t.throws(() => securityOf({ SKIPLEASE_TLS_CA_FILE: join(folder, 'nowhere') }), { code: 'ENOENT' });
});
