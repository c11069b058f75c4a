import type { Clock } from "../../base/time.ts";

const freeAttempts = 5;
const longestLockMs = 60_000;
const forgetMs = 15 * 60_000;
const mostAddresses = 10_000;

/**
 * Slows down guessing: after five wrong attempts in a row an address waits one second, then two, four, up to a minute.
 * What is remembered is bounded; addresses are forgotten 15 minutes after their last wrong attempt.
 */
export class Attempts {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #byAddress = new Map<string, { failures: number; last: number; lockedUntil: number }>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Milliseconds that this address still has to wait; 0 if it may try. */
  waitMs(address: string): number {
    return Math.max(0, (this.#byAddress.get(network(address))?.lockedUntil ?? 0) - this.#clock.monotonic());
  }

  failed(from: string): void {
    const address = network(from);
    const now = this.#clock.monotonic();
    const known = this.#byAddress.get(address);
    const failures = (known && now - known.last < forgetMs ? known.failures : 0) + 1;
    const lockMs = failures < freeAttempts ? 0 : Math.min(longestLockMs, 1000 * 2 ** (failures - freeAttempts));
    // Deleting first moves the address to the end: the first one of the map is the one that was longest quiet.
    this.#byAddress.delete(address);
    this.#byAddress.set(address, { failures, last: now, lockedUntil: now + lockMs });
    const oldest = this.#byAddress.keys().next().value;
    if (this.#byAddress.size > mostAddresses && oldest !== undefined) this.#byAddress.delete(oldest);
  }

  succeeded(address: string): void {
    this.#byAddress.delete(network(address));
  }
}

/** Who has one IPv6 address has 2^64 of them: such a network counts as one. Every other text stands for itself. */
export function network(address: string): string {
  const url = address.includes(":") ? `http://[${address}]/` : "";
  if (!URL.canParse(url)) return address;
  const [head = "", tail] = new URL(url).hostname.slice(1, -1).split("::");
  const groups = head === "" ? [] : head.split(":");
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === "" ? 0 : tail.split(":").length);
  return [...groups, ...Array.from({ length: missing }, () => "0"), ...(tail ? tail.split(":") : [])].slice(0, 4).join(":");
}
