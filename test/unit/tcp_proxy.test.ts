import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { startTcpProxy, type TcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 10_000;

interface World {
  proxy: TcpProxy;
  /** What the server has received so far, over all connections. */
  received: () => string;
  /** The server's end of the newest connection. */
  server: () => Socket;
  connect: () => Promise<Socket>;
}

/** A server that keeps what it gets, a proxy before it. */
async function makeWorld(t: ExecutionContext): Promise<World> {
  let text = '';
  let newest: Socket | undefined;
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    newest = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => (text += bytes.toString('latin1')));
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const proxy = await startTcpProxy(`127.0.0.1:${(listener.address() as AddressInfo).port}`);
  t.teardown(async () => {
    await proxy.close();
    newest?.destroy();
    listener.close();
  });
  return {
    proxy,
    received: () => text,
    server: () => newest!,
    connect: async () => {
      const client = createConnection({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
      client.on('error', () => undefined);
      await once(client, 'connect');
      return client;
    },
  };
}

/** Whatever ends it. (`once` of node:events would fail on an error.) */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** Everything that a socket says until it ends. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (bytes) => (text += bytes.toString('latin1')));
  await once(socket, 'end');
  return text;
}

test('bytes pass in order both ways, and a half-close leaves the other half open', async (t) => {
  const { server, connect, received } = await makeWorld(t);
  const client = await connect();
  const big = 'x'.repeat(1_000_000);
  client.end(`question ${big}`);
  await waitFor(() => received() === `question ${big}`, { deadlineMs: DEADLINE_MS, what: 'the question' });
  const answer = readAll(client);
  server().end(`answer ${big}`);
  t.is(await answer, `answer ${big}`);
});

test('cut breaks every connection at both ends; a new one may follow', async (t) => {
  const { proxy, connect, received, server } = await makeWorld(t);
  const client = await connect();
  client.write('before');
  await waitFor(() => received() === 'before', { deadlineMs: DEADLINE_MS, what: 'the first bytes' });
  const ends = [closed(client), closed(server())];
  proxy.cut();
  await Promise.all(ends);
  await waitFor(() => proxy.connections() === 0, { deadlineMs: DEADLINE_MS, what: 'no connection' });
  (await connect()).write('after');
  await waitFor(() => received() === 'beforeafter', { deadlineMs: DEADLINE_MS, what: 'the bytes of a new connection' });
  t.is(proxy.connections(), 1);
});

test('a refusing proxy closes new connections and leaves the old ones', async (t) => {
  const { proxy, connect, received } = await makeWorld(t);
  const old = await connect();
  old.write('a');
  await waitFor(() => received() === 'a', { deadlineMs: DEADLINE_MS, what: 'the old connection' });
  proxy.refuse(true);
  const fresh = createConnection({ port: proxy.port, host: '127.0.0.1' });
  fresh.on('error', () => undefined);
  await closed(fresh);
  old.write('b');
  await waitFor(() => received() === 'ab', { deadlineMs: DEADLINE_MS, what: 'the old connection, still' });
  proxy.refuse(false);
  (await connect()).write('c');
  await waitFor(() => received() === 'abc', { deadlineMs: DEADLINE_MS, what: 'a connection again' });
  t.pass();
});

test('a frozen proxy swallows what is said, and passes on what is said after it', async (t) => {
  const { proxy, connect, received, server } = await makeWorld(t);
  const client = await connect();
  client.write('1');
  await waitFor(() => received() === '1', { deadlineMs: DEADLINE_MS, what: 'the first byte' });
  proxy.freeze(true, 'to server');
  client.write('swallowed');
  // The other direction still works: when this has come, so would the first have, had it been passed on.
  const heard = once(client, 'data');
  server().write('heard');
  t.is(String((await heard)[0]), 'heard');
  proxy.freeze(false);
  client.write('2');
  await waitFor(() => received().endsWith('2'), { deadlineMs: DEADLINE_MS, what: 'the last byte' });
  t.is(received(), '12');
  t.false(client.destroyed);

  proxy.freeze(true);
  const gone = closed(server());
  server().resetAndDestroy();
  await gone;
  // Nothing tells the client that its server is dead.
  await waitFor(() => proxy.connections() === 0.5, { deadlineMs: DEADLINE_MS, what: 'the proxy to have seen the end' });
  t.false(client.destroyed);
});

test('a delay makes bytes late, in order, and a trickle makes them few', async (t) => {
  const { proxy, connect, received } = await makeWorld(t);
  const client = await connect();
  proxy.delay(200);
  let started = performance.now();
  client.write('first ');
  client.write('second');
  await waitFor(() => received() === 'first second', { deadlineMs: DEADLINE_MS, what: 'the late bytes' });
  t.true(performance.now() - started >= 190);

  proxy.delay(0);
  proxy.trickle(10_000);
  started = performance.now();
  client.write('x'.repeat(3_000));
  await waitFor(() => received().length === 'first second'.length + 3_000, { deadlineMs: DEADLINE_MS, what: 'the trickled bytes' });
  t.true(performance.now() - started >= 250);
});
