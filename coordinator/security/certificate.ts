import type { PeerCertificate } from 'node:tls';

/** Who a client's certificate says it is, once its chain was verified. */
export interface CertificateNames {
  /** `CN:…`, then its alternative names as `DNS:…`, `URI:…`, `email:…`. */
  names: string[];
  /** Unix milliseconds. */
  expiresAtMs: number;
}

/** How Node writes alternative names: one with a comma or a quote in it stands in quotes, as JSON. */
const ALTERNATIVE_NAME = /(?:^|, )(DNS|URI|email):("(?:[^"\\]|\\.)*"|[^",]*)/g;

export function namesOf({ subject, subjectaltname = '', valid_to: validTo }: PeerCertificate): CertificateNames {
  const commonNames = [subject?.CN ?? []].flat();
  const others = [...subjectaltname.matchAll(ALTERNATIVE_NAME)].map(([, kind, name]) =>
    `${kind}:${name!.startsWith('"') ? JSON.parse(name!) as string : name}`);
  // A name of an identity is kept as text, which cannot hold a null.
  const names = [...commonNames.map((name) => `CN:${name}`), ...others].filter((name) => !name.includes('\0'));
  return { names, expiresAtMs: Date.parse(validTo) };
}
