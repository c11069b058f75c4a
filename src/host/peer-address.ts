import { lookup } from "node:dns";
import { canonicalAddress, contains, type Network, parseAddress, parseNetwork } from "../base/address.ts";

/** An address as people write it: an IPv4 address that came in over IPv6 (`::ffff:203.0.113.5`) is printed plain. */
export function plainAddress(address: string | undefined): string {
  return address === undefined ? "" : canonicalAddress(address);
}

/** Knows which peers may say for whom they speak. */
export interface TrustedProxies {
  /** True when `address` is loopback or in the list. */
  trusts(address: string): boolean;
}

const loopback = ["127.0.0.0/8", "::1"];
const hostName = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$/;

/**
 * `list` gives addresses, CIDR ranges and host names; it is read at each question, so that a changed configuration counts
 * at once. Host names are looked up when the list has changed and count as soon as the answer is there; an entry that is
 * none of the three trusts nobody.
 */
export function createTrustedProxies(list: () => readonly string[]): TrustedProxies {
  let known: string | undefined;
  let networks: Network[] = [];
  const rebuild = (entries: readonly string[]): void => {
    const next: Network[] = [];
    networks = next;
    const add = (text: string): boolean => {
      const network = parseNetwork(text);
      if (network) next.push(network);
      return network !== undefined;
    };
    loopback.forEach(add);
    for (const entry of entries.map((text) => text.trim())) {
      if (add(entry) || !hostName.test(entry)) continue;
      lookup(entry, { all: true }, (_, found) => found?.forEach(({ address }) => add(address)));
    }
  };
  return {
    trusts(address) {
      const entries = list();
      const now = entries.join("\n");
      if (now !== known) {
        known = now;
        rebuild(entries);
      }
      const bytes = parseAddress(address);
      return bytes !== undefined && networks.some((network) => contains(network, bytes));
    },
  };
}

/**
 * The client's address of an HTTP request. A trusted peer's `X-Forwarded-For` is read from the right: each trusted proxy
 * names the one before it, and the first that is not trusted is the client; what stands left of it could be invented.
 * `X-Real-IP` counts when there is no usable `X-Forwarded-For`.
 */
export function clientAddress(peer: string, headers: Readonly<Record<string, string>>, proxies: TrustedProxies): string {
  if (!proxies.trusts(peer)) return peer;
  const hops = (headers["x-forwarded-for"] ?? "").split(",").map(hopAddress);
  let client = peer;
  for (const hop of hops.toReversed()) {
    if (hop === undefined) break;
    client = hop;
    if (!proxies.trusts(hop)) return client;
  }
  if (client !== peer) return client;
  return hopAddress(headers["x-real-ip"] ?? "") ?? peer;
}

/** One element of `X-Forwarded-For`: an address, perhaps with a port; undefined for anything else. */
function hopAddress(text: string): string | undefined {
  const trimmed = text.trim().replace(/^"|"$/g, "");
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(trimmed)?.[1] ?? trimmed;
  return parseAddress(bare) === undefined ? undefined : canonicalAddress(bare);
}
