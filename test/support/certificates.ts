import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate, and where its files are. */
export interface TestCertificate {
  certFile: string;
  keyFile: string;
  cert: Buffer;
  key: Buffer;
}

/** An authority of a test's own, in a folder. */
export class TestAuthority {
  readonly #folder: string;
  readonly #name: string;
  readonly certificate: TestCertificate;

  private constructor(folder: string, name: string, certificate: TestCertificate) {
    this.#folder = folder;
    this.#name = name;
    this.certificate = certificate;
  }

  static async create(folder: string, name = 'authority'): Promise<TestAuthority> {
    const [keyFile, certFile] = filesOf(folder, name);
    await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`,
      '-keyout', keyFile, '-out', certFile);
    return new TestAuthority(folder, name, await read(certFile, keyFile));
  }

  /** For a server: `DNS:localhost,IP:127.0.0.1`, say; for a client: `URI:spiffe://…`. */
  async issue(name: string, alternativeNames: string): Promise<TestCertificate> {
    const [keyFile, certFile] = filesOf(this.#folder, name);
    const request = join(this.#folder, `${name}.csr`);
    const extensions = join(this.#folder, `${name}.ext`);
    await writeFile(extensions, `subjectAltName=${alternativeNames}\n`);
    await openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', request);
    const [authorityKey, authorityCert] = filesOf(this.#folder, this.#name);
    await openssl('x509', '-req', '-in', request, '-CA', authorityCert, '-CAkey', authorityKey, '-CAcreateserial', '-days', '2', '-extfile', extensions, '-out', certFile);
    return read(certFile, keyFile);
  }
}

function filesOf(folder: string, name: string): [keyFile: string, certFile: string] {
  return [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
}

async function read(certFile: string, keyFile: string): Promise<TestCertificate> {
  return { certFile, keyFile, cert: await readFile(certFile), key: await readFile(keyFile) };
}

async function openssl(...parameters: string[]): Promise<void> {
  await run('openssl', parameters);
}
