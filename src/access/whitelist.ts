import { contains, parseAddress, parseNetwork } from "../base/address.ts";

/** Addresses of a host name as text; rejects when there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** True if `address` is what the rule says: an address, a network (CIDR) or a host name; an empty rule allows all. */
export async function addressFits(rule: string, address: string, lookup: Lookup): Promise<boolean> {
  if (rule === "") return true;
  const peer = parseAddress(address);
  if (!peer) return rule === address;
  const network = parseNetwork(rule);
  if (network) return contains(network, peer);
  const addresses = await lookup(rule).catch(() => []);
  return addresses.some((text) => {
    const known = parseNetwork(text);
    return known !== undefined && contains(known, peer);
  });
}
