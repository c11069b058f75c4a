import { createHash, timingSafeEqual } from "node:crypto";
import { SluiceError } from "../base/errors.ts";

/** True if a request shows the secret. */
export type SecretCheck = (request: Request) => boolean;

/** Shorter ones can be guessed. */
const leastLength = 16;
/** Texts of one request that are looked at. */
const mostShown = 8;

/**
 * Makes the check of a shared secret, or of several while one is exchanged for another. A request shows it as `?key=SECRET`, as the
 * last part of its path, or in a header: `Authorization: Bearer SECRET`, `X-Sluice-Key: SECRET`. How long the comparison takes says
 * nothing about the secret. Throws "config.invalid" for a secret that is missing or too short.
 */
export function secretCheck(secrets: string | readonly string[]): SecretCheck {
  const known = [secrets].flat();
  if (known.length === 0 || known.some((secret) => typeof secret !== "string" || secret.length < leastLength))
    throw new SluiceError(
      "config.invalid",
      `createReceiver: \`secret\` must be a text of ${leastLength} characters or more, or a list of such; leave it out only where nobody else can reach the receiver`,
    );
  const digests = known.map(digest);
  return (request) => {
    let fits = false;
    for (const shown of shownBy(request).slice(0, mostShown)) {
      const own = digest(shown);
      for (const one of digests) fits = timingSafeEqual(own, one) || fits;
    }
    return fits;
  };
}

function shownBy({ url, headers }: Request): string[] {
  const { pathname, searchParams } = new URL(url);
  const bearer = /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  const last = decoded(pathname.split("/").at(-1) ?? "");
  return [bearer, headers.get("x-sluice-key") ?? undefined, last, ...searchParams.getAll("key")].filter((text) => text !== undefined);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
