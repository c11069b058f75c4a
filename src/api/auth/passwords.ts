import { createHash, createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from "node:crypto";
import { SluiceError } from "../../base/errors.ts";
import type { Clock } from "../../base/time.ts";
import type { Account } from "../../config/account.ts";
import { isPassword, pretend } from "../../config/scrypt.ts";

/** A right pair is known so long: Basic sends it with each request, and each check costs a tenth of a second. */
const knownMs = 5 * 60_000;
const mostKnown = 1000;
/** Checks at the same time: each takes 32 MB and one of Node's four threads, which files and names need, too. */
const mostChecks = 2;
const mostWaiting = 32;

/**
 * Checks passwords against accounts. A right pair is remembered for five minutes under a keyed hash that also holds what is stored,
 * so a new password counts at once. An unknown name costs as much as a wrong password.
 */
export class Passwords {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #key: KeyObject = createSecretKey(randomBytes(32));
  readonly #known = new Map<string, number>();
  readonly #asked = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Is this the account's password? Rejects with "api.attempts" when too many checks wait already. */
  async check(name: string, password: string, account: Account | undefined): Promise<boolean> {
    const mark = this.#mark(name, password, account);
    const until = this.#known.get(mark);
    if (until !== undefined && this.#clock.monotonic() < until) return true;
    this.#known.delete(mark);
    // Who asks the same at the same time (a page that loads six things) shares one check.
    let asked = this.#asked.get(mark);
    if (!asked) {
      asked = this.#compare(password, account).finally(() => this.#asked.delete(mark));
      this.#asked.set(mark, asked);
    }
    const right = await asked;
    if (right) this.#remember(mark);
    return right;
  }

  async #compare(password: string, account: Account | undefined): Promise<boolean> {
    const md5 = account?.scrypt === undefined ? account?.password : undefined;
    if (md5 !== undefined && sameText(createHash("md5").update(password).digest("hex"), md5)) return true;
    const stored = account?.scrypt;
    return await this.#inTurn(() => (stored === undefined ? pretend(password) : isPassword(password, stored)));
  }

  async #inTurn(check: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= mostChecks) {
      if (this.#waiting.length >= mostWaiting) {
        throw new SluiceError("api.attempts", "Too many logins at the same time; try again in a second", { retryAfterMs: 1000 });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await check();
    } finally {
      // The place goes to who waits longest.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #remember(mark: string): void {
    this.#known.delete(mark);
    this.#known.set(mark, this.#clock.monotonic() + knownMs);
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest);
  }

  #mark(name: string, password: string, account: Account | undefined): string {
    const stored = account?.scrypt ?? account?.password ?? "";
    return createHmac("sha256", this.#key)
      .update(JSON.stringify([name, password, stored]))
      .digest("base64");
  }
}

/** Compares in a time that does not depend on where they differ. */
export function sameText(left: string, right: string): boolean {
  const [a, b] = [createHash("sha256").update(left).digest(), createHash("sha256").update(right).digest()];
  return timingSafeEqual(a, b);
}
