import { experimental } from '@grpc/grpc-js';
import type { ServerCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from '../security/tls_files.ts';
import type { WatchedFiles } from '../security/watched_files.ts';

type CertificateProvider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];

/**
 * TLS whose certificates may change: new connections see the new ones, those that are open live on. (The library's own provider for
 * files serves nobody while it cannot read one of them; this one goes on with what was good.)
 */
export function tlsCredentials(files: WatchedFiles<TlsMaterial>, requireClientCertificate: boolean): ServerCredentials {
  const provider = new FilesProvider(files);
  const authorities = files.current.clientAuthorities === undefined ? null : provider;
  // Our own certificate comes first, whatever its declaration calls its parameters.
  return experimental.createCertificateProviderServerCredentials(provider, authorities, requireClientCertificate);
}

class FilesProvider implements CertificateProvider {
  readonly #files: WatchedFiles<TlsMaterial>;
  readonly #tell = new Map<unknown, () => void>();

  constructor(files: WatchedFiles<TlsMaterial>) {
    this.#files = files;
    files.onChange(() => this.#tell.forEach((tell) => tell()));
  }

  addCaCertificateListener(listener: Parameters<CertificateProvider['addCaCertificateListener']>[0]): void {
    this.#add(listener, () => listener({ caCertificate: this.#files.current.clientAuthorities! }));
  }

  addIdentityCertificateListener(listener: Parameters<CertificateProvider['addIdentityCertificateListener']>[0]): void {
    this.#add(listener, () => listener(this.#files.current));
  }

  removeCaCertificateListener(listener: unknown): void {
    this.#tell.delete(listener);
  }

  removeIdentityCertificateListener(listener: unknown): void {
    this.#tell.delete(listener);
  }

  /** The first time a moment later: the server adds itself after it has asked. */
  #add(listener: unknown, tell: () => void): void {
    this.#tell.set(listener, tell);
    process.nextTick(tell);
  }
}
