import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf, SluiceError } from "../../base/errors.ts";
import { parseSecret, type SigningKey, secretWords } from "./signature.ts";

/** What an entry says about its calls beyond MistServer's keys. */
export type CallOptions = {
  /** `text`: MistServer's form. `json`: names, types, the client's request, and a decision object as answer; HTTP only. */
  readonly format: "text" | "json";
  /** Calls in the JSON form are signed with all of them. */
  readonly secrets: readonly SigningKey[];
  /** Certificates (PEM) that are trusted beside the usual ones. */
  readonly ca: string | undefined;
  /** Milliseconds that an answer may take. */
  readonly timeoutMs: number | undefined;
};

/** What holds for entries that say nothing. */
export const plainCall: CallOptions = { format: "text", secrets: [], ca: undefined, timeoutMs: undefined };

const mostSecrets = 8;
const mostTimeout = 600_000;

/**
 * Reads `format`, `secret`, `ca` and `timeoutMs` of an entry. `overHttp` is false for executables; `path` names the entry.
 * Reads the file of `ca`. Throws "config.invalid" that names the field and shows no secret.
 */
export function parseCallOptions(value: Readonly<Record<string, unknown>>, overHttp: boolean, path: string): CallOptions {
  const { format, secret, ca, timeoutMs } = value;
  const json = format === "json";
  if (isSet(format) && !json && format !== "text") throw wrong(`${path}.format`, '"text" (MistServer\'s lines) or "json"');
  if (json && !overHttp) throw wrong(`${path}.format`, "left out: an executable gets text");
  if (isSet(secret) && !json) throw wrong(`${path}.secret`, 'left out where `format` is not "json": text is not signed');
  if (isSet(ca) && !overHttp) throw wrong(`${path}.ca`, "left out: an executable needs no certificates");
  if (isSet(timeoutMs) && !(typeof timeoutMs === "number" && timeoutMs >= 1 && timeoutMs <= mostTimeout)) {
    throw wrong(`${path}.timeoutMs`, `a number of milliseconds from 1 to ${mostTimeout}`);
  }
  return {
    format: json ? "json" : "text",
    secrets: isSet(secret) ? parseSecrets(secret, `${path}.secret`) : [],
    ca: isSet(ca) ? parseCertificates(ca, `${path}.ca`) : undefined,
    timeoutMs: isSet(timeoutMs) ? (timeoutMs as number) : undefined,
  };
}

function parseSecrets(value: unknown, path: string): readonly SigningKey[] {
  const listed = Array.isArray(value);
  const list: readonly unknown[] = listed ? value : [value];
  if (list.length === 0 || list.length > mostSecrets) throw wrong(path, `a secret or a list of 1 to ${mostSecrets}`);
  return list.map((one, index) => {
    const key = parseSecret(one);
    if (!key) throw wrong(listed ? `${path}[${index}]` : path, secretWords);
    return key;
  });
}

/** PEM as it is, or the path of a file with PEM. */
function parseCertificates(value: unknown, path: string): string {
  const wanted = "certificates in PEM, or the path of a file with them";
  if (typeof value !== "string" || value === "") throw wrong(path, wanted);
  try {
    const pem = value.includes("-----BEGIN") ? value : readFileSync(value, "utf8");
    void new X509Certificate(pem);
    return pem;
  } catch (cause) {
    throw new SluiceError("config.invalid", `${path}: there must be ${wanted}: ${messageOf(cause)}`, { cause });
  }
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "";
}

function wrong(path: string, wanted: string): SluiceError {
  return new SluiceError("config.invalid", `${path}: what stands here does not fit; it must be ${wanted}`);
}
