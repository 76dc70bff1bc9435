import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Log } from '../observe/log.ts';
import { WatchedFiles } from './watched_files.ts';

/** A certificate with its key, and who may vouch for clients. PEM. */
export interface TlsMaterial {
  certificate: Buffer;
  privateKey: Buffer;
  /** undefined: clients are not asked for certificates. */
  clientAuthorities: Buffer | undefined;
}

export interface TlsPaths {
  certFile: string;
  keyFile: string;
  clientCaFile: string | undefined;
}

/** Reads them now and whenever they change. A certificate whose key has not come yet is not used. Rejects with FAILED_PRECONDITION. */
export function openTlsFiles({ certFile, keyFile, clientCaFile }: TlsPaths, log: Log): Promise<WatchedFiles<TlsMaterial>> {
  return WatchedFiles.open([certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])], ([certificate, privateKey, clientAuthorities]) => {
    const leaf = new X509Certificate(certificate!);
    if (!leaf.checkPrivateKey(createPrivateKey(privateKey!))) {
      throw new Error('the key does not belong to the certificate');
    }
    createSecureContext({ cert: certificate, key: privateKey, ...(clientAuthorities === undefined ? {} : { ca: clientAuthorities }) });
    return { certificate: certificate!, privateKey: privateKey!, clientAuthorities };
  }, log);
}
