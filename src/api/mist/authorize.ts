import { createHash, createHmac, createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { isSluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Account } from "../../config/account.ts";
import type { Configuration } from "../../config/configuration.ts";
import { accountOf, mistPassword } from "../auth/accounts.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { sameText } from "../auth/passwords.ts";
import type { Asker } from "../parts.ts";
import type { Principal } from "../principal.ts";

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
  /** Who it is, where it is allowed. */
  readonly principal?: Principal;
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
  /** A name and password by HTTP Basic count, too. MistServer's API takes no notice of them: they may be meant for a proxy before it. */
  readonly basic?: true;
};

export type AuthorizerOptions = {
  readonly configuration: Configuration;
  readonly clock: Clock;
  readonly log: Log;
  readonly authenticator: Authenticator;
};

/** A login that holds for a connection, as long as the account has the password that it was made with. */
type Login = { readonly address: string; readonly name: string; readonly password: string };

const local: Principal = { name: "local", kind: "local", scope: "admin" };

/**
 * MistServer's login: password = md5(md5(plain) + challenge), in lower-case hex. It holds for the TCP connection until `logout`;
 * behind a proxy, which may share a connection, only for the same client address.
 *
 * Better than MistServer's: the challenge cannot be computed by others and ends after two hours (MistServer's is the same all
 * day), attempts are limited, and the first account can only be made from this machine: else whoever finds a fresh server first
 * would own it. A bearer token is taken from the header, too; it holds for one request.
 */
export class Authorizer {
  readonly #configuration: Configuration;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #authenticator: Authenticator;
  readonly #secret: KeyObject = createSecretKey(randomBytes(32));
  readonly #loggedIn = new WeakMap<object, Login>();

  constructor({ configuration, clock, log, authenticator }: AuthorizerOptions) {
    this.#configuration = configuration;
    this.#clock = clock;
    this.#log = log;
    this.#authenticator = authenticator;
  }

  /** Decides about one request. What is shown counts before where it comes from: a program here with a token has the token's scope. */
  async authorize({ asker, connection, member, header, basic }: AuthorizeRequest): Promise<Authorization> {
    const ignored = !basic && /^basic\s/i.test(header ?? "");
    const shown = await this.#shown(ignored ? undefined : header, asker.address);
    if (shown) return shown;
    const hasAccounts = this.hasAccounts();
    const free = asker.local && this.#configuration.settings.apiLocalAccess;
    if (!hasAccounts && free && (await this.#makeAccount(member))) {
      return { allowed: true, reply: { status: "ACC_MADE", challenge: this.challenge(asker.address) }, principal: local };
    }
    if (!hasAccounts) {
      const { apiLocalAccess } = this.#configuration.settings;
      const where = apiLocalAccess ? "from the server's own machine, or under" : "under";
      const error = `There is no account yet; make the first one ${where} \`account\` in the configuration.`;
      return free ? { allowed: true, reply: { status: "NOACC" }, principal: local } : { allowed: false, reply: { status: "NOACC", error } };
    }
    if (free) return { allowed: true, reply: { status: "OK", local: true }, principal: local };

    const given = credentials(header);
    if (given) {
      const wait = this.#check(given, asker.address);
      if (wait === "right") return this.#login(connection, asker.address, given.username);
      return { allowed: false, reply: this.#refusal(asker.address, wait), refusedHeader: { retryAfter: Math.ceil(wait / 1000) } };
    }
    const attempt = credentials(member);
    if (attempt) {
      const wait = this.#check(attempt, asker.address);
      if (wait === "right") return this.#login(connection, asker.address, attempt.username);
      this.logout(connection);
      return { allowed: false, reply: this.#refusal(asker.address, wait) };
    }
    const login = this.#loggedIn.get(connection);
    const account = login && accountOf(this.#configuration.settings, login.name);
    if (login?.address === asker.address && account && mistPassword(account) === login.password) {
      return { allowed: true, reply: { status: "OK" }, principal: principalOf(login.name, account) };
    }
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

  /** A bearer token, or Basic. */
  async #shown(header: string | undefined, address: string): Promise<Authorization | undefined> {
    try {
      const principal = await this.#authenticator.principalOf(header, address);
      return principal && { allowed: true, reply: { status: "OK" }, principal };
    } catch (error) {
      if (!isSluiceError(error, "api.credentials") && !isSluiceError(error, "api.attempts")) throw error;
      const reply = { status: "CHALL", challenge: this.challenge(address), error: error.message } as const;
      return { allowed: false, reply, refusedHeader: { retryAfter: Math.ceil((error.retryAfterMs ?? 0) / 1000) } };
    }
  }

  #login(connection: object, address: string, name: string): Authorization {
    const account = accountOf(this.#configuration.settings, name);
    const password = mistPassword(account);
    if (!account || password === undefined) return { allowed: false, reply: this.#refusal(address, 0) };
    this.#loggedIn.set(connection, { address, name, password });
    return { allowed: true, reply: { status: "OK" }, principal: principalOf(name, account) };
  }

  #refusal(address: string, waitMs: number): AuthorizeReply {
    const reply = { status: "CHALL", challenge: this.challenge(address) } as const;
    return waitMs > 0 ? { ...reply, error: `Too many wrong attempts; try again in ${Math.ceil(waitMs / 1000)} seconds.` } : reply;
  }

  /** "right", or the milliseconds to wait; while an address has to wait nothing is compared, so that nothing can be learnt. */
  #check(given: Credentials, address: string): "right" | number {
    const name = given.username;
    const wait = this.#authenticator.waitMs(address, name);
    if (wait > 0) return wait;
    const stored = mistPassword(accountOf(this.#configuration.settings, name));
    const window = Math.floor(this.#clock.now() / windowMs);
    // An unknown name costs the same comparisons as a wrong password.
    const right = [window, window - 1].map((time) => md5((stored ?? "") + this.#challengeOf(address, time)));
    const matches = right.map((hash) => sameText(hash, given.password.toLowerCase()));
    if (stored !== undefined && matches.includes(true)) {
      this.#authenticator.right(address, name);
      return "right";
    }
    this.#authenticator.wrong(address, name);
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

function principalOf(name: string, { scope = "admin" }: Account): Principal {
  return { name, kind: "account", scope };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
