import { createSecretKey, hash, randomBytes, randomFillSync } from "node:crypto";
import { canonicalAddress } from "../base/address.ts";
import { streamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import { createMask } from "../triggers/journal/mask.ts";
import type { TraceStep } from "./trace.ts";

/** How somebody was let in, refused, asked about again, or ended: all that `sluice why` tells. Tokens are here only as hashes. */
export type DecisionRecord = {
  /** Short, for people to read out: the refused client is shown it. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly kind: "play" | "publish" | "recheck" | "renew" | "end";
  readonly result: "allow" | "deny";
  /** What the client was told; empty for a yes. */
  readonly reason: string;
  /** What decided, in a few words: `USER_NEW function at sluice.config.ts`, `limit two-per-user`, `answer kept from an earlier question`. */
  readonly rule: string;
  /** Empty where there was no session yet. */
  readonly sessionId: string;
  readonly address: string;
  readonly protocol: string;
  /** The name that was asked for; masked when it is not the name of a configured stream, as it may be a token. */
  readonly asked: string;
  readonly stream: string;
  readonly user: string;
  /** The first 16 hexadecimal digits of the token's SHA-256; empty without a token. */
  readonly tokenHash: string;
  readonly steps: readonly TraceStep[];
  /** How often the same was said to the same client again since `at`, and when last (Unix ms); absent when never. */
  readonly repeats?: number;
  readonly lastAt?: number;
};

/** Each given field must fit; `token` is the token itself, and is hashed before it is compared. */
export type DecisionQuery = {
  readonly id?: string;
  readonly sessionId?: string;
  readonly address?: string;
  readonly token?: string;
  readonly tokenHash?: string;
  readonly stream?: string;
  readonly result?: "allow" | "deny";
  /** Only older ones than the decision with this id. */
  readonly before?: string;
  /** Newest first; 100 if left out. */
  readonly limit?: number;
};

/** The last decisions, bounded in number and bytes. */
export interface Decisions {
  /** Newest first. `text` may be any of a decision's id, session id (or its beginning, from 6 digits on), address, token, token hash. */
  why(text: string): readonly DecisionRecord[];
  find(query: DecisionQuery): readonly DecisionRecord[];
  /** Called for each decision as it is made. */
  onDecision(run: (record: DecisionRecord) => void): Disposable;
}

/** What the gate tells of a decision; secrets are taken out before anything is kept. */
export type DecisionFacts = Omit<DecisionRecord, "id" | "at" | "tokenHash" | "repeats" | "lastAt"> & {
  /** The client's token, or what a publisher pushed to; "" for none. */
  readonly token: string;
  /** Other texts that nobody may read here, such as passwords. */
  readonly secrets?: readonly string[];
};

/** The decisions with what the gate does: it writes them down. */
export interface DecisionBook extends Decisions {
  /** Keeps a decision and gives it as it is kept; the same words to the same client within ten minutes are one decision. */
  add(facts: DecisionFacts): DecisionRecord;
  /** The session is refused by the no that it got before: gives that decision, and counts; undefined when it is forgotten. */
  again(sessionId: string): DecisionRecord | undefined;
  /** The last no of a session id, if it is not forgotten. */
  lastNo(sessionId: string): DecisionRecord | undefined;
}

export type DecisionOptions = {
  readonly clock: Clock;
  /** Decisions that are kept; 10,000 if left out. */
  readonly most?: number;
  /** Bytes that they may take, estimated; 16 MiB if left out. */
  readonly mostBytes?: number;
  /** Does a stream of this name exist? Other names may be secrets. */
  readonly isPublic?: (name: string) => boolean;
};

/** Without letters that look like digits (Crockford); their number divides 256, so that all are equally likely. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** 50 bits: short enough to read out, and not to be guessed among the few that are kept. */
const idLength = 10;
const sameMs = 600_000;
const usualLimit = 100;
/** Characters of a field; of a reason that handlers wrote. */
const mostField = 200;
const mostReason = 500;
/** Shorter texts are no secrets. */
const leastSecret = 4;
/** Shorter ones are taken out as whole words only: they would tear holes into others. */
const leastPart = 6;

type Kept = { record: DecisionRecord; readonly key: string; readonly bytes: number };

/**
 * Makes an empty book. The newest are kept, up to both bounds. Looking for anything but an id reads all of them, some
 * milliseconds for 10,000: people ask, not viewers.
 */
export function createDecisions(options: DecisionOptions): DecisionBook {
  return new Book(options);
}

class Book implements DecisionBook {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #mostBytes: number;
  readonly #isPublic: (name: string) => boolean;
  /** Oldest first. */
  readonly #kept = new Map<string, Kept>();
  readonly #same = new Map<string, Kept>();
  /** The last no of each session id. */
  readonly #refused = new Map<string, Kept>();
  readonly #listeners = new Set<(record: DecisionRecord) => void>();
  /** Its key is this run's own: a mark says nothing about the name, but that it is the same one. */
  readonly #mask = createMask(createSecretKey(randomBytes(32)), () => false);
  /** Random bytes for the next ids: to ask the system for each of them would cost more than the rest of a decision. */
  readonly #random = new Uint8Array(idLength * 256);
  #used = this.#random.length;
  #bytes = 0;

  constructor({ clock, most = 10_000, mostBytes = 16 * 1024 * 1024, isPublic = () => false }: DecisionOptions) {
    this.#clock = clock;
    this.#most = most;
    this.#mostBytes = mostBytes;
    this.#isPublic = isPublic;
  }

  add(facts: DecisionFacts): DecisionRecord {
    const shown = this.#shown(facts);
    const { kind, result, sessionId, address, protocol, asked, tokenHash, reason, rule } = shown;
    const of = kind === "recheck" && result === "allow" ? sessionId : `${address}\n${protocol}\n${asked}\n${tokenHash}\n${reason}\n${rule}`;
    const key = `${kind}\n${result}\n${of}`;
    const now = this.#clock.now();
    const same = result === "deny" || kind === "recheck" ? this.#same.get(key) : undefined;
    if (same && now - same.record.at < sameMs) {
      const { id, at, repeats = 0 } = same.record;
      this.#bytes -= same.bytes;
      const bytes = bytesOf(shown);
      this.#bytes += bytes;
      const kept: Kept = { key, bytes, record: { ...shown, id, at, repeats: repeats + 1, lastAt: now } };
      this.#kept.set(id, kept);
      this.#index(kept);
      return kept.record;
    }
    const kept: Kept = { key, bytes: bytesOf(shown), record: { ...shown, id: this.#newId(), at: now } };
    this.#kept.set(kept.record.id, kept);
    this.#bytes += kept.bytes;
    this.#index(kept);
    while (this.#kept.size > this.#most || (this.#bytes > this.#mostBytes && this.#kept.size > 1)) this.#forgetOldest();
    for (const run of [...this.#listeners]) run(kept.record);
    return kept.record;
  }

  again(sessionId: string): DecisionRecord | undefined {
    const kept = this.#refused.get(sessionId);
    if (!kept) return undefined;
    const { repeats = 0 } = kept.record;
    kept.record = { ...kept.record, repeats: repeats + 1, lastAt: this.#clock.now() };
    return kept.record;
  }

  lastNo(sessionId: string): DecisionRecord | undefined {
    return this.#refused.get(sessionId)?.record;
  }

  why(text: string): readonly DecisionRecord[] {
    const wanted = text.trim();
    if (wanted === "") return [];
    const byId = this.#kept.get(idOf(wanted));
    if (byId) return [byId.record];
    const session = /^[IOU]?[0-9a-f]{6,64}$/i.test(wanted) ? wanted.replace(/[0-9a-f]+$/i, (digits) => digits.toLowerCase()) : undefined;
    const [tokenHash, address, hashed, mark] = [wanted.toLowerCase(), canonicalAddress(wanted), hashOf(wanted), this.#markOf(wanted)];
    return this.#newest(usualLimit, (one) => {
      if (session !== undefined && one.sessionId.startsWith(session)) return true;
      return one.address === address || one.tokenHash === tokenHash || one.tokenHash === hashed || one.asked === mark;
    });
  }

  find({ id, sessionId, address, token, tokenHash, stream, result, before, limit = usualLimit }: DecisionQuery): readonly DecisionRecord[] {
    const from = address === undefined ? undefined : canonicalAddress(address);
    const [hashed, mark] = token === undefined ? [] : [hashOf(token), this.#markOf(token)];
    const asId = id === undefined ? undefined : idOf(id);
    return this.#newest(
      limit,
      (one) =>
        (asId === undefined || one.id === asId) &&
        (sessionId === undefined || one.sessionId === sessionId) &&
        (from === undefined || one.address === from) &&
        (hashed === undefined || one.tokenHash === hashed || one.asked === mark) &&
        (tokenHash === undefined || one.tokenHash === tokenHash) &&
        (stream === undefined || one.stream === stream || one.asked === stream) &&
        (result === undefined || one.result === result),
      before === undefined ? undefined : idOf(before),
    );
  }

  onDecision(run: (record: DecisionRecord) => void): Disposable {
    const own = (record: DecisionRecord): void => run(record);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  #newest(limit: number, fits: (record: DecisionRecord) => boolean, before?: string): readonly DecisionRecord[] {
    const found: DecisionRecord[] = [];
    const all = [...this.#kept.values()];
    // Those before a decision that is forgotten are forgotten, too.
    const end = before === undefined ? all.length : all.findIndex(({ record }) => record.id === before);
    for (let at = end - 1; at >= 0 && found.length < limit; at--) {
      const record = all[at]?.record;
      if (record && fits(record)) found.push(record);
    }
    return found;
  }

  #index(kept: Kept): void {
    const { result, sessionId } = kept.record;
    this.#same.set(kept.key, kept);
    if (result === "deny" && sessionId !== "") this.#refused.set(sessionId, kept);
  }

  #newId(): string {
    if (this.#used === this.#random.length) {
      randomFillSync(this.#random);
      this.#used = 0;
    }
    const bytes = this.#random.subarray(this.#used, (this.#used += idLength));
    return Array.from(bytes, (byte) => alphabet[byte & 31]).join("");
  }

  #forgetOldest(): void {
    const [oldest] = this.#kept.values();
    if (!oldest) return;
    const { id, sessionId } = oldest.record;
    this.#kept.delete(id);
    this.#bytes -= oldest.bytes;
    if (this.#same.get(oldest.key) === oldest) this.#same.delete(oldest.key);
    if (this.#refused.get(sessionId) === oldest) this.#refused.delete(sessionId);
  }

  /** The name as it is looked for, whatever the client wrote it like. */
  #markOf(name: string): string {
    return this.#mask.mark(streamName(name) || name);
  }

  #shown({ token, secrets = [], ...facts }: DecisionFacts): Omit<DecisionRecord, "id" | "at"> {
    const { asked, stream, steps, reason, rule, user } = facts;
    const hidden = asked !== "" && asked !== stream && !this.#isPublic(asked);
    const all = [token, ...secrets, ...(hidden ? [asked] : [])].filter(
      (text) => text.length >= leastSecret && text !== stream && !this.#isPublic(text),
    );
    // The longest first: one may be a part of another.
    const secret = [...new Set(all)].toSorted((one, other) => other.length - one.length);
    const clean = (text: string, most = mostField): string => {
      let plain = text;
      for (const one of secret)
        if (plain.includes(one)) plain = plain.replaceAll(one.length < leastPart ? wholeWord(one) : one, "(hidden)");
      return plain.length > most ? `${plain.slice(0, most)}...` : plain;
    };
    return {
      ...facts,
      asked: hidden ? this.#markOf(asked) : asked,
      user: clean(user),
      rule: clean(rule),
      reason: clean(reason, mostReason),
      tokenHash: token === "" ? "" : hashOf(token),
      steps: steps.map((step) => ({ ...step, text: clean(step.text, mostReason) })),
    };
  }
}

/** The first 16 hexadecimal digits of the token's SHA-256. */
export function hashOf(token: string): string {
  return hash("sha256", token, "hex").slice(0, 16);
}

function wholeWord(text: string): RegExp {
  return new RegExp(`(?<![A-Za-z0-9])${text.replace(/[\\^$.*|?+()[\]{}]/g, "\\$&")}(?![A-Za-z0-9])`, "g");
}

/** What a person may have written down of an id. */
function idOf(text: string): string {
  return text.trim().toUpperCase().replaceAll("O", "0").replace(/[IL]/g, "1").replaceAll("-", "");
}

/** Two for each character, and what objects cost. */
function bytesOf({ steps, ...fields }: Omit<DecisionRecord, "id" | "at">): number {
  let characters = 0;
  for (const value of Object.values(fields)) if (typeof value === "string") characters += value.length;
  for (const { step, text } of steps) characters += step.length + text.length;
  return 400 + steps.length * 80 + characters * 2;
}
