import { z } from "zod";
import type { KeyEntry } from "../access/tokens/key-entry.ts";
import { SluiceError } from "../base/errors.ts";
import { streamName } from "../base/stream-name.ts";

const permissions = z
  .strictObject({
    input: z.boolean(),
    output: z.boolean(),
    admin: z.boolean(),
    stream: z.union([z.string(), z.array(z.string())]),
  })
  .partial();
const jwk = z.looseObject({ kty: z.string().min(1) });
const keySource = z.union([z.string().regex(/^https?:\/\/[^\s]+$/i), z.looseObject({ keys: z.array(jwk) }), jwk]);
const entry = z.union([keySource, z.tuple([keySource]), z.tuple([keySource, permissions])]);
const entryWords =
  "a JWK, a JWKS (`keys`), an address of one (https://...), or a list of one of these and what it may: { input, output, admin, stream }";

/** The setting `jwks`. What is wrong is never shown: it may be a secret key. */
export const jwksSchema = z.array(
  z.custom<KeyEntry>((value) => entry.safeParse(value).success && !hasUrlSecrets(value), entryWords),
  "a list of keys",
);

/** `fetch` takes no address with a name and a password in it. */
function hasUrlSecrets(value: unknown): boolean {
  const url: unknown = Array.isArray(value) ? value[0] : value;
  return typeof url === "string" && (!URL.canParse(url) || new URL(url).username !== "" || new URL(url).password !== "");
}

/** Bytes, as in MistServer. */
const longestKey = 255;
const longestStream = 127;

const tableWords = `an object with stream keys (at most ${longestKey} bytes) as keys and names of streams (at most ${longestStream} bytes) as values`;

/** The setting `streamkeys`. A key is never shown. */
export const streamKeysSchema = z.custom<Readonly<Record<string, string>>>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(([key, stream]) => problemOfStreamKey(key, stream) === undefined),
  tableWords,
);

/** What is wrong with a stream key and its stream, without showing the key; undefined if nothing is. */
export function problemOfStreamKey(key: string, stream: unknown): string | undefined {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > longestKey) return `a stream key has 1 to ${longestKey} bytes`;
  if (/[?#]|\p{Cc}/u.test(key)) return "a stream key has no ?, # or line breaks in it";
  if (typeof stream !== "string" || streamName(stream) === "") return "a stream key stands for the name of a stream";
  if (Buffer.byteLength(stream) > longestStream) return `the name of a stream key's stream has at most ${longestStream} bytes`;
  return undefined;
}

/** Throws `SluiceError` "config.invalid" unless the pair may be kept. */
export function checkStreamKey(key: string, stream: unknown, where: string): void {
  const problem = problemOfStreamKey(key, stream);
  if (problem !== undefined) throw new SluiceError("config.invalid", `${where}: streamkeys: ${problem}`);
}
