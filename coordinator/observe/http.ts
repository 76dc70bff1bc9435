import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { formatAddress } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { SkipleaseError } from '../errors.ts';
import type { HttpTokens } from '../security/http_tokens.ts';

/** A scraper that sends nothing for this long is cut off. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Connections of scrapers and probes; more are closed at once. */
const CONNECTIONS_MAX = 100;

export interface HttpDependencies {
  metrics: { scrape(): Promise<string>; contentType: string };
  /** Why this coordinator should be given no traffic now (starting, draining, database away); undefined: it may. */
  notReady(): string | undefined;
  /** undefined: nobody is asked. */
  tokens: HttpTokens | undefined;
}

export interface HttpServer {
  /** Where it listens, with the port that was taken. */
  address: string;
  stop(): Promise<void>;
}

/** Serves /metrics, for which a token may be asked, /healthz (the process is alive) and /readyz. Rejects with FAILED_PRECONDITION when the port is taken. */
export async function startHttp(address: ListenAddress, dependencies: HttpDependencies): Promise<HttpServer> {
  const server = createServer((request, response) => {
    answer(request, response, dependencies).catch(() => response.destroy());
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, address);
  const { port } = server.address() as AddressInfo;
  return {
    address: formatAddress({ host: address.host, port }),
    stop: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, dependencies: HttpDependencies): Promise<void> {
  const { metrics } = dependencies;
  const path = request.url?.split('?', 1)[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    reply(response, 405, 'GET only\n');
  } else if (path !== '/healthz' && path !== '/readyz' && dependencies.tokens?.accept(request.headers.authorization) === false) {
    response.setHeader('www-authenticate', 'Bearer');
    reply(response, 401, 'Send "authorization: Bearer" and the token of SKIPLEASE_HTTP_TOKEN_FILE.\n');
  } else if (path === '/metrics') {
    reply(response, 200, await metrics.scrape(), metrics.contentType);
  } else if (path === '/healthz') {
    reply(response, 200, 'alive\n');
  } else if (path === '/readyz') {
    const reason = dependencies.notReady();
    reply(response, reason === undefined ? 200 : 503, `${reason ?? 'ready'}\n`);
  } else {
    reply(response, 404, 'Nothing here. Try /metrics, /healthz or /readyz.\n');
  }
}

function reply(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new SkipleaseError('FAILED_PRECONDITION', 'HTTP_ADDRESS_UNUSABLE',
        `Cannot serve metrics and health on ${formatAddress(address)}: ${portProblem(error)}. ` +
          'Set SKIPLEASE_HTTP_ADDRESS to another host:port (port 0 takes any free one).', { cause: error }));
    });
    server.listen(address.port, address.host, resolve);
  });
}

/** What stands in the way of listening, in words. */
export function portProblem(error: { code?: string; message: string }): string {
  switch (error.code) {
    case 'EADDRINUSE': return 'the port is taken, perhaps by another coordinator';
    case 'EACCES': return 'this user may not open the port';
    case 'EADDRNOTAVAIL': return 'this machine does not have the address';
    default: return error.message;
  }
}
