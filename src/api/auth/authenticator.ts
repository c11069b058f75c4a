import { createHash } from "node:crypto";
import { SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { TokenVerifier } from "../../access/tokens/verifier.ts";
import type { Clock } from "../../base/time.ts";
import type { Configuration } from "../../config/configuration.ts";
import { Attempts, network } from "../mist/attempts.ts";
import type { Principal } from "../principal.ts";
import { accountOf } from "./accounts.ts";
import type { ApiTokens } from "./api-tokens.ts";
import { Passwords } from "./passwords.ts";

export type AuthenticatorOptions = {
  readonly configuration: Configuration;
  readonly clock: Clock;
  readonly log: Log;
  readonly apiTokens: ApiTokens;
  /** JWTs; left out: there are none. */
  readonly tokens?: TokenVerifier | undefined;
};

/** Longer than any password or token that a person or a program has. */
const mostCharacters = 16_384;

/** Says who shows credentials in a header: a bearer token, a JWT, or an account's name and password by HTTP Basic. */
export class Authenticator {
  /** Wrong attempts of every kind, by network: who guesses here waits there, too. */
  readonly #attempts: Attempts;
  /** The same for each name, which a right login with another name does not clear. */
  readonly #byName: Attempts;
  readonly #options: AuthenticatorOptions;
  readonly #passwords: Passwords;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options.clock);
    this.#byName = new Attempts(options.clock);
    this.#passwords = new Passwords(options.clock);
  }

  /**
   * Who it is; undefined when the header is none of ours. Rejects with "api.credentials" when they are wrong, and with "api.attempts"
   * while the address has to wait: nothing is compared then, so that nothing can be learnt.
   */
  async principalOf(header: string | undefined, address: string): Promise<Principal | undefined> {
    const [, scheme = "", value = ""] = /^(basic|bearer)\s+(\S+)\s*$/i.exec((header ?? "").slice(0, mostCharacters)) ?? [];
    if (scheme === "") return undefined;
    if (scheme.toLowerCase() === "bearer") {
      this.#demandPatience(this.waitMs(address));
      const known = (await this.#byToken(value)) ?? (await this.#byJwt(value, address));
      if (known) return known;
      this.wrong(address);
      throw new SluiceError("api.credentials", "The bearer token is unknown, revoked or over; POST /api/v1/tokens makes a new one");
    }
    return await this.#byPassword(value, address);
  }

  /** Milliseconds that this address still has to wait, with this name or whatever it shows; 0 if it may try. */
  waitMs(address: string, name?: string): number {
    return Math.max(this.#attempts.waitMs(address), name === undefined ? 0 : this.#byName.waitMs(both(address, name)));
  }

  /** Counts a wrong attempt. */
  wrong(address: string, name?: string): void {
    this.#attempts.failed(address);
    if (name !== undefined) this.#byName.failed(both(address, name));
    this.#options.log.write("AUTH", "Wrong login at the API", { address });
  }

  /** Forgets wrong attempts of an address, and those with this name. */
  right(address: string, name: string): void {
    this.#attempts.succeeded(address);
    this.#byName.succeeded(both(address, name));
  }

  #demandPatience(waitMs: number): void {
    if (waitMs <= 0) return;
    const words = `Too many wrong attempts; try again in ${Math.ceil(waitMs / 1000)} seconds.`;
    throw new SluiceError("api.attempts", words, { retryAfterMs: waitMs });
  }

  async #byToken(text: string): Promise<Principal | undefined> {
    const token = await this.#options.apiTokens.verify(text);
    return token && { name: token.name, kind: "token", scope: token.scope };
  }

  async #byJwt(text: string, address: string): Promise<Principal | undefined> {
    const verdict = await this.#options.tokens?.verify(text, { permission: "admin", stream: "", address });
    if (verdict?.kind !== "valid") return undefined;
    const { sub } = verdict.claims;
    return { name: typeof sub === "string" && sub !== "" ? sub : "jwt", kind: "token", scope: "admin" };
  }

  async #byPassword(encoded: string, address: string): Promise<Principal> {
    const pair = Buffer.from(encoded, "base64").toString("utf8");
    const colon = pair.indexOf(":");
    const [name, password] = colon < 0 ? [pair, ""] : [pair.slice(0, colon), pair.slice(colon + 1)];
    const account = accountOf(this.#options.configuration.settings, name);
    this.#demandPatience(this.waitMs(address, name));
    // Counted before it is known: of a hundred guesses at the same time no more are free than of a hundred one after the other.
    this.#attempts.failed(address);
    this.#byName.failed(both(address, name));
    if ((await this.#passwords.check(name, password, account)) && account) {
      this.right(address, name);
      return { name, kind: "account", scope: account.scope ?? "admin" };
    }
    this.#options.log.write("AUTH", "Wrong login at the API", { address });
    throw new SluiceError("api.credentials", "The account's name or password is wrong");
  }
}

/** What both have in common is told by neither: the name may be a password that was typed into the wrong field. */
function both(address: string, name: string): string {
  return createHash("sha256")
    .update(`${network(address)} ${name}`)
    .digest("base64url");
}
