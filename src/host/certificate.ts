import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";

/** Paths of PEM files. `cert` begins with the server's own certificate; those that lead to a known authority follow. */
export type CertificateFiles = { readonly cert: string; readonly key: string };

/** Milliseconds between looks at the files. */
const lookMs = 60_000;

/**
 * The certificate of a listener. The files are looked at once a minute and whenever `refresh` is called; connections that come
 * after a change get the new certificate, those that are open keep theirs. Files that cannot be used change nothing.
 */
export class Certificate implements Disposable {
  readonly #log: Log;
  readonly #looking: Disposable;
  #files: CertificateFiles;
  #version: string;
  #context: SecureContext;
  #complaint = "";

  /** Throws "config.invalid" that names the field, `https.cert` or `https.key`. */
  constructor(files: CertificateFiles, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#log = log;
    this.#files = files;
    this.#version = versionOf(files);
    this.#context = readCertificate(files);
    this.#looking = clock.every(lookMs, () => this.refresh());
  }

  get context(): SecureContext {
    return this.#context;
  }

  /** Reads the files again if they have changed, or others are to be used from now on. */
  refresh(files: CertificateFiles = this.#files): void {
    const version = versionOf(files);
    if (version === this.#version) return;
    try {
      this.#context = readCertificate(files);
      this.#files = files;
      this.#version = version;
      this.#complaint = "";
      this.#log.write("CONF", `The certificate ${files.cert} was loaded again`);
    } catch (error) {
      // Certificate and key are two files, and may be seen between the writing of one and the other.
      const complaint = messageOf(error);
      if (complaint !== this.#complaint) this.#log.write("ERROR", `${complaint}; the certificate that was in use stays`);
      this.#complaint = complaint;
    }
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
  }
}

/** Changes when a file does. A file that is not there has a version, too. */
function versionOf({ cert, key }: CertificateFiles): string {
  return [cert, key]
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return `${path} ${stat?.mtimeMs} ${stat?.size} ${stat?.ino}`;
    })
    .join("\n");
}

/** Throws "config.invalid" that names the field. */
export function readCertificate(files: CertificateFiles): SecureContext {
  const cert = readPem(files, "cert");
  const key = readPem(files, "key");
  const certificate = attempt(() => new X509Certificate(cert), files, "cert", "has no certificate (-----BEGIN CERTIFICATE-----)");
  const own = attempt(() => createPrivateKey(key), files, "key", "has no private key without a password (-----BEGIN PRIVATE KEY-----)");
  if (!certificate.checkPrivateKey(own)) throw wrong(files, "key", `is not the key of the certificate in ${files.cert}`);
  return attempt(() => createSecureContext({ cert, key, minVersion: "TLSv1.2" }), files, "cert", "cannot be used");
}

function readPem(files: CertificateFiles, field: keyof CertificateFiles): Buffer {
  return attempt(() => readFileSync(files[field]), files, field, "cannot be read");
}

function attempt<T>(run: () => T, files: CertificateFiles, field: keyof CertificateFiles, what: string): T {
  try {
    return run();
  } catch (error) {
    throw wrong(files, field, `${what}: ${messageOf(error)}`, error);
  }
}

function wrong(files: CertificateFiles, field: keyof CertificateFiles, text: string, cause?: unknown): SluiceError {
  return new SluiceError("config.invalid", `https.${field}: the file ${JSON.stringify(files[field])} ${text}`, { cause });
}
