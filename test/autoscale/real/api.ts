import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';

/** An answer of Kubernetes that is none of success. */
export class ApiError extends Error {
  readonly status: number;

  constructor(what: string, status: number, message: string) {
    super(`${what}: ${status} ${message}`);
    this.status = status;
  }
}

/** What a request sends beside its path. */
interface Sent {
  contentType: 'application/json' | 'application/merge-patch+json' | 'application/apply-patch+yaml';
  body: string;
}

/** Kubernetes' API, as an administrator. */
export class Api {
  readonly url: string;
  readonly #authority: Buffer;
  readonly #token: string;

  constructor(url: string, authority: Buffer, token: string) {
    this.url = url;
    this.#authority = authority;
    this.#token = token;
  }

  async get<Resource>(path: string): Promise<Resource> {
    return JSON.parse(await this.#call('GET', path)) as Resource;
  }

  async create(path: string, resource: object): Promise<void> {
    await this.#call('POST', path, { contentType: 'application/json', body: JSON.stringify(resource) });
  }

  async merge(path: string, change: object): Promise<void> {
    await this.#call('PATCH', path, { contentType: 'application/merge-patch+json', body: JSON.stringify(change) });
  }

  async remove(path: string, options: object): Promise<void> {
    await this.#call('DELETE', path, { contentType: 'application/json', body: JSON.stringify(options) });
  }

  /** As `kubectl apply --server-side` does, refusing what no schema knows. `manifest`: one document of YAML. */
  async apply(manifest: string): Promise<void> {
    await this.#call('PATCH', `${pathOf(manifest)}?fieldManager=skiplease&fieldValidation=Strict`, { contentType: 'application/apply-patch+yaml', body: manifest });
  }

  /** Whether it answers, and what: `ok`, or what is not ready. */
  ready(): Promise<string> {
    return this.#call('GET', '/readyz');
  }

  async #call(method: string, path: string, sent?: Sent): Promise<string> {
    const calling = request(`${this.url}${path}`, {
      method,
      ca: this.#authority,
      headers: {
        authorization: `Bearer ${this.#token}`,
        // Of a DELETE Node does not tell the length by itself.
        ...(sent === undefined ? {} : { 'content-type': sent.contentType, 'content-length': Buffer.byteLength(sent.body) }),
      },
    });
    calling.end(sent?.body);
    const [answer] = (await once(calling, 'response')) as [IncomingMessage];
    const body = await text(answer);
    if (answer.statusCode! >= 300) {
      throw new ApiError(`${method} ${path}`, answer.statusCode!, body.startsWith('{') ? (JSON.parse(body) as { message: string }).message : body);
    }
    return body;
  }
}

/** Where the resource of a manifest lives, by what kustomize writes of it. */
function pathOf(manifest: string): string {
  const value = (key: string) => new RegExp(`^${key}: (.*)$`, 'm').exec(manifest)?.[1];
  const metadata = /^metadata:\n((?: .*\n)+)/m.exec(manifest)![1]!;
  const inMetadata = (key: string) => new RegExp(`^  ${key}: (.*)$`, 'm').exec(metadata)?.[1];
  const version = value('apiVersion')!;
  const namespace = inMetadata('namespace');
  const plural = `${value('kind')!.toLowerCase().replace(/y$/, 'ie')}s`;
  return `/${version.includes('/') ? 'apis' : 'api'}/${version}/${namespace === undefined ? '' : `namespaces/${namespace}/`}${plural}/${inMetadata('name')}`;
}
