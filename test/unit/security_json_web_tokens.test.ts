import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { JsonWebTokens } from '../../coordinator/security/json_web_tokens.ts';
import { AUDIENCE, ISSUER, SecuredFolder } from '../support/secured.ts';
import { keepLog } from '../support/store_world.ts';

const settings = (keySet: string) => ({ keySet, issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'], claim: 'skiplease' });

test('keys of a URL are fetched once for many tokens; where they cannot be fetched nobody can tell, which is no refusal', async (t) => {
  const secured = await SecuredFolder.create([]);
  let fetched = 0;
  let away = true;
  const server = createServer((_request, response) => {
    fetched += 1;
    if (away) response.writeHead(503).end();
    else void readFile(secured.keySetFile).then((keys) => response.end(keys));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await secured.remove();
  });
  const tokens = await JsonWebTokens.open(settings(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`), keepLog() as never);
  const token = await secured.sign({ sub: 'somebody', skiplease: [{ can: ['read'], queues: ['*'] }] });
  t.like(await t.throwsAsync(tokens.verify(token), { instanceOf: SkipleaseError }), { code: 'UNAVAILABLE', reason: 'TOKEN_KEYS_AWAY' });
  away = false;
  fetched = 0;
  for (let call = 0; call < 5; call += 1) {
    t.like(await tokens.verify(await secured.sign({ sub: 'somebody' })), { subject: 'somebody', grants: undefined });
  }
  t.is(fetched, 1);
  t.like(await tokens.verify(token), { grants: [{ can: ['read'], queues: ['*'] }] });
  // A key that is not known, moments after the keys were fetched, does not make it fetch again: strangers could have it do so all the time.
  await secured.newKeys();
  t.like(await t.throwsAsync(tokens.verify(await secured.sign()), { instanceOf: SkipleaseError }), { code: 'UNAUTHENTICATED', reason: 'TOKEN_REFUSED' });
  t.is(fetched, 1);
});
