import { createHash } from 'node:crypto';
import test from 'ava';
import type { PeerCertificate } from 'node:tls';
import { Access, CAPABILITIES, UNRESTRICTED } from '../../coordinator/security/access.ts';
import { namesOf } from '../../coordinator/security/certificate.ts';
import { parseIdentities, tokenHash } from '../../coordinator/security/identities.ts';

test('a grant is for a queue, for those that begin so, or for all', (t) => {
  const access = new Access('somebody', [
    { can: ['submit', 'read'], queues: ['payments', 'mail-*'] }, { can: ['work'], queues: ['mail-eu'] }, { can: ['read'], queues: ['*'] },
  ]);
  t.true(access.may('submit', 'payments'));
  t.false(access.may('submit', 'payments-2'));
  t.false(access.may('submit', 'payment'));
  t.true(access.may('submit', 'mail-'));
  t.true(access.may('submit', 'mail-eu'));
  t.false(access.may('submit', 'mail'));
  t.true(access.may('work', 'mail-eu'));
  t.false(access.may('work', 'mail-us'));
  t.true(access.may('read', 'whatever'));
  t.true(access.mayInEveryQueue('read'));
  t.false(access.mayInEveryQueue('submit'));
  t.true(access.mayInSomeQueue('work'));
  t.false(access.mayInSomeQueue('operate'));
  t.true(access.may('work', 'mail-eu'), 'what is remembered is the same');
});

test('admin is everything, for its queues; nothing granted is nothing; nobody asked is everything', (t) => {
  const admin = new Access('admin', [{ can: ['admin'], queues: ['mail'] }]);
  const nobody = new Access('nobody', []);
  for (const capability of CAPABILITIES) {
    t.true(admin.may(capability, 'mail'));
    t.false(admin.may(capability, 'payments'));
    t.false(nobody.mayInSomeQueue(capability));
    t.true(UNRESTRICTED.mayInEveryQueue(capability));
  }
});

test('as many queues as callers can name do not fill the memory, and change no answer', (t) => {
  const access = new Access('somebody', [{ can: ['read'], queues: ['a*'] }]);
  for (let index = 0; index < 25_000; index += 1) {
    t.is(access.may('read', `${index % 2 === 0 ? 'a' : 'b'}${index}`), index % 2 === 0);
  }
});

const HASH = createHash('sha256').update('secret').digest('hex');
const identity = (fields: object) => JSON.stringify({ identities: [{ name: 'mailer', grants: [{ can: ['work'], queues: ['mail'] }], ...fields }] });

test('the file of identities is read by what proves them', (t) => {
  const { byToken, byCertificate, bySubject } = parseIdentities(identity({
    token_sha256: [HASH], certificates: ['URI:spiffe://example.org/mailer', 'CN:mailer'], jwt_subjects: ['system:serviceaccount:mail:mailer'],
  }));
  t.is(byToken.get(tokenHash('secret'))?.name, 'mailer');
  t.is(byCertificate.get('CN:mailer')?.name, 'mailer');
  t.is(bySubject.get('system:serviceaccount:mail:mailer')?.name, 'mailer');
});

for (const [what, text, reason] of [
  ['no JSON', '{', 'JSON'],
  ['a token itself', identity({ token_sha256: ['secret'] }), 'identities.0.token_sha256.0: must be the SHA-256'],
  ['an unknown capability', identity({ grants: [{ can: ['fly'], queues: ['*'] }] }), 'identities.0.grants.0.can.0'],
  ['a star in the middle', identity({ grants: [{ can: ['work'], queues: ['a*b'] }] }), 'identities.0.grants.0.queues.0'],
  ['a misspelt field', identity({ tokens: [HASH] }), 'tokens'],
  ['a name like those of others', identity({ name: 'jwt:mailer' }), 'identities.0.name'],
  ['a name twice', JSON.stringify({ identities: [{ name: 'a', grants: [] }, { name: 'a', grants: [] }] }), 'the name a stands there twice'],
  ['a token twice', JSON.stringify({ identities: ['a', 'b'].map((name) => ({ name, token_sha256: [HASH], grants: [] })) }), 'stands there twice'],
] as const) {
  test(`a file of identities with ${what} is refused`, (t) => {
    const error = t.throws(() => parseIdentities(text));
    t.true(error.message.includes(reason), error.message);
  });
}

test('a certificate has all its names, and none that another name only looks like', (t) => {
  const certificate = {
    subject: { CN: 'mailer' }, valid_to: 'Nov 22 18:00:00 2030 GMT',
    subjectaltname: 'DNS:a.example.org, URI:"spiffe://x/, DNS:admin", IP Address:127.0.0.1, email:a@example.org',
  } as PeerCertificate;
  t.deepEqual(namesOf(certificate), {
    names: ['CN:mailer', 'DNS:a.example.org', 'URI:spiffe://x/, DNS:admin', 'email:a@example.org'], expiresAtMs: Date.UTC(2030, 10, 22, 18),
  });
});
