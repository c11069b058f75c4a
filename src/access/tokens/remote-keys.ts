import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import { flattenEntries } from "./key-entry.ts";
import type { Jwk } from "./jwk.ts";

/** Bounds of an answer: time until its last byte, and bytes after decompression. */
const patienceMs = 5_000;
const mostBytes = 256 * 1024;

/** Milliseconds between two looks: when the answer does not say, at least, at most, and after a failure. */
const pause = { usual: 60_000, least: 5_000, most: 86_400_000, failed: 10_000 } as const;

export type RemoteKeysOptions = {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when other keys came than before. */
  readonly onKeys: () => void;
};

/**
 * The keys behind an address: a JWKS (`keys`), or an OpenID document that says where one is (`jwks_uri`). They are fetched again in
 * the background, as often as `Cache-Control: max-age` says. While the server does not answer, the keys that it had stay.
 */
export class RemoteKeys implements Disposable {
  /** What is shown of the address: neither password nor query. */
  readonly label: string;
  readonly #options: RemoteKeysOptions;
  #jwks: readonly Jwk[] = [];
  /** Monotonic ms of the last look's end. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #failing = false;
  readonly #closed = new AbortController();

  /** Begins to fetch at once. */
  constructor(options: RemoteKeysOptions) {
    this.#options = options;
    const { origin, pathname } = new URL(options.url);
    this.label = `${origin}${pathname}`;
    void this.#look();
  }

  /** The keys that it had last. */
  get jwks(): readonly Jwk[] {
    return this.#jwks;
  }

  /** Resolves when keys have arrived that are no older than some seconds, or could not be fetched: a token names a key that is not here. */
  fresh(): Promise<void> {
    if (this.#looking) return this.#looking;
    const age = this.#options.clock.monotonic() - this.#lookedAt;
    return age < pause.least ? Promise.resolve() : this.#look();
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#timer?.[Symbol.dispose]();
  }

  #look(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#looking ??= this.#fetched().finally(() => {
      this.#looking = undefined;
      this.#lookedAt = this.#options.clock.monotonic();
    });
    return this.#looking;
  }

  async #fetched(): Promise<void> {
    const { url, clock, log, onKeys } = this.#options;
    let next: number = pause.failed;
    try {
      const { jwks, maxAgeMs } = await keysAt(url, this.#closed.signal);
      if (this.#closed.signal.aborted) return;
      if (this.#failing) log.write("INFO", `The keys of ${this.label} are there again`);
      this.#failing = false;
      next = Math.min(Math.max(maxAgeMs ?? pause.usual, pause.least), pause.most);
      if (JSON.stringify(jwks) !== JSON.stringify(this.#jwks)) {
        this.#jwks = jwks;
        onKeys();
      }
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      const kept = this.#jwks.length === 0 ? "there are none yet" : "those that it had still count";
      if (!this.#failing) log.write("WARN", `The keys of ${this.label} could not be fetched (${wordsOf(error)}); ${kept}`);
      this.#failing = true;
    }
    this.#timer = clock.after(next, () => void this.#look());
  }
}

type Answer = { readonly jwks: readonly Jwk[]; readonly maxAgeMs: number | undefined };

async function keysAt(url: string, closed: AbortSignal): Promise<Answer> {
  const signal = AbortSignal.any([closed, AbortSignal.timeout(patienceMs)]);
  const first = await jsonAt(url, signal);
  if (Array.isArray(first.value["keys"])) return answerOf(first);
  const next = first.value["jwks_uri"];
  if (typeof next !== "string" || !/^https?:\/\//i.test(next)) throw new Answered("the answer has neither `keys` nor `jwks_uri`");
  const second = await jsonAt(next, signal);
  if (!Array.isArray(second.value["keys"])) throw new Answered("the answer of its `jwks_uri` has no `keys`");
  return answerOf(second);
}

function answerOf({ value, cacheControl }: JsonAnswer): Answer {
  const age = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(cacheControl)?.[1];
  const jwks = flattenEntries(value).flatMap(({ jwk }) => (typeof jwk === "string" ? [] : [jwk]));
  return { jwks, maxAgeMs: age === undefined ? undefined : Number(age) * 1000 };
}

/** A failure in words that may be shown. */
class Answered extends Error {}

type JsonAnswer = { readonly value: Readonly<Record<string, unknown>>; readonly cacheControl: string };

async function jsonAt(url: string, signal: AbortSignal): Promise<JsonAnswer> {
  const response = await fetch(url, { signal, headers: { accept: "application/json, application/jwk-set+json" } });
  const text = await boundedText(response);
  if (response.status !== 200) throw new Answered(`status ${response.status}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Answered("the answer is no JSON");
  }
  if (typeof value !== "object" || value === null) throw new Answered("the answer is no JSON object");
  return { value: value as Record<string, unknown>, cacheControl: response.headers.get("cache-control") ?? "" };
}

async function boundedText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > mostBytes) throw new Answered(`the answer has more than ${mostBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Words without the address, which may have a secret in it. */
function wordsOf(error: unknown): string {
  if (error instanceof Answered) return messageOf(error);
  if (error instanceof Error && error.name === "TimeoutError") return `no answer within ${patienceMs} ms`;
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : "no connection";
}
