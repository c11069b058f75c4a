import { createHash, createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from "node:crypto";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Configuration } from "../../config/configuration.ts";
import type { Asker } from "../parts.ts";
import { Attempts } from "./attempts.ts";

/** A challenge is good in the hour in which it was made and in the next. */
const windowMs = 3_600_000;

/** The `authorize` member of an answer. */
export type AuthorizeReply = {
  readonly status: "OK" | "CHALL" | "NOACC" | "ACC_MADE";
  readonly local?: true;
  readonly challenge?: string;
  /** Ours: why, in words. */
  readonly error?: string;
};

/** May the commands of this request run, and what is said about it. */
export type Authorization = {
  readonly allowed: boolean;
  readonly reply: AuthorizeReply;
  /** The `Authorization` header was wrong: the answer is 403. Seconds to wait, if any. */
  readonly refusedHeader?: { readonly retryAfter: number };
};

export type AuthorizeRequest = {
  readonly asker: Asker;
  /** What stands for the TCP connection: a login holds for it. */
  readonly connection: object;
  /** The `authorize` member of the command. */
  readonly member: unknown;
  /** The `Authorization` header. */
  readonly header: string | undefined;
};

export type AuthorizerOptions = { readonly configuration: Configuration; readonly clock: Clock; readonly log: Log };

/**
 * MistServer's login: password = md5(md5(plain) + challenge), in lower-case hex. It holds for the TCP connection until `logout`;
 * behind a proxy, which may share a connection, only for the same client address.
 *
 * Better than MistServer's: the challenge cannot be computed by others and ends after two hours (MistServer's is the same all
 * day), attempts are limited, and the first account can only be made from this machine: else whoever finds a fresh server first
 * would own it.
 */
export class Authorizer {
  readonly #configuration: Configuration;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #attempts: Attempts;
  readonly #secret: KeyObject = createSecretKey(randomBytes(32));
  readonly #loggedIn = new WeakMap<object, string>();

  constructor({ configuration, clock, log }: AuthorizerOptions) {
    this.#configuration = configuration;
    this.#clock = clock;
    this.#log = log;
    this.#attempts = new Attempts(clock);
  }

  /** Decides about one request. */
  async authorize({ asker, connection, member, header }: AuthorizeRequest): Promise<Authorization> {
    const hasAccounts = this.hasAccounts();
    if (!hasAccounts && asker.local && (await this.#makeAccount(member))) {
      return { allowed: true, reply: { status: "ACC_MADE", challenge: this.challenge(asker.address) } };
    }
    if (!hasAccounts) {
      const error = "There is no account yet; make the first one from the server's own machine, or under `account` in the configuration.";
      return { allowed: asker.local, reply: asker.local ? { status: "NOACC" } : { status: "NOACC", error } };
    }
    if (asker.local) return { allowed: true, reply: { status: "OK", local: true } };

    const given = credentials(header);
    if (given) {
      const wait = this.#check(given, asker.address);
      if (wait === "right") return this.#login(connection, asker.address);
      return { allowed: false, reply: this.#refusal(asker.address, wait), refusedHeader: { retryAfter: Math.ceil(wait / 1000) } };
    }
    const attempt = credentials(member);
    if (attempt) {
      const wait = this.#check(attempt, asker.address);
      if (wait === "right") return this.#login(connection, asker.address);
      this.logout(connection);
      return { allowed: false, reply: this.#refusal(asker.address, wait) };
    }
    if (this.#loggedIn.get(connection) === asker.address) return { allowed: true, reply: { status: "OK" } };
    return { allowed: false, reply: this.#refusal(asker.address, 0) };
  }

  hasAccounts(): boolean {
    return Object.keys(this.#configuration.settings.account).length > 0;
  }

  logout(connection: object): void {
    this.#loggedIn.delete(connection);
  }

  /** The challenge that a client of this address gets now. */
  challenge(address: string): string {
    return this.#challengeOf(address, Math.floor(this.#clock.now() / windowMs));
  }

  #challengeOf(address: string, window: number): string {
    return createHmac("sha256", this.#secret).update(`${window} ${address}`).digest("hex").slice(0, 32);
  }

  #login(connection: object, address: string): Authorization {
    this.#loggedIn.set(connection, address);
    return { allowed: true, reply: { status: "OK" } };
  }

  #refusal(address: string, waitMs: number): AuthorizeReply {
    const reply = { status: "CHALL", challenge: this.challenge(address) } as const;
    return waitMs > 0 ? { ...reply, error: `Too many wrong attempts; try again in ${Math.ceil(waitMs / 1000)} seconds.` } : reply;
  }

  /** "right", or the milliseconds to wait; while an address has to wait nothing is compared, so that nothing can be learnt. */
  #check(given: Credentials, address: string): "right" | number {
    const wait = this.#attempts.waitMs(address);
    if (wait > 0) return wait;
    const accounts = this.#configuration.settings.account;
    const stored = Object.hasOwn(accounts, given.username) ? accounts[given.username]?.password : undefined;
    const window = Math.floor(this.#clock.now() / windowMs);
    // An unknown name costs the same comparisons as a wrong password.
    const right = [window, window - 1].map((time) => md5((stored ?? "") + this.#challengeOf(address, time)));
    const matches = right.map((hash) => sameText(hash, given.password.toLowerCase()));
    if (stored !== undefined && matches.includes(true)) {
      this.#attempts.succeeded(address);
      return "right";
    }
    this.#attempts.failed(address);
    this.#log.write("AUTH", "Wrong login at the API", { address });
    return 0;
  }

  async #makeAccount(member: unknown): Promise<boolean> {
    if (!isObject(member)) return false;
    const { new_username: name, new_password: password } = member;
    if (typeof name !== "string" || typeof password !== "string" || name === "" || password === "") return false;
    await this.#configuration.change(() => ({ account: { [name]: { password: md5(password) } } }));
    this.#log.write("AUTH", "The first account was made through the API");
    return true;
  }
}

type Credentials = { readonly username: string; readonly password: string };

/** From the `authorize` member, or from a header `Authorization: json {...}`. Other schemes are not ours. */
function credentials(value: unknown): Credentials | undefined {
  if (typeof value === "string") {
    const json = /^json\s+(\{.*\})\s*$/is.exec(value)?.[1];
    if (json === undefined) return undefined;
    try {
      return credentials(JSON.parse(json)) ?? { username: "", password: "" };
    } catch {
      return { username: "", password: "" };
    }
  }
  if (!isObject(value)) return undefined;
  const { username, password } = value;
  if (typeof username !== "string" || typeof password !== "string" || (username === "" && password === "")) return undefined;
  return { username, password };
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

function sameText(left: string, right: string): boolean {
  const [a, b] = [createHash("sha256").update(left).digest(), createHash("sha256").update(right).digest()];
  return timingSafeEqual(a, b);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
