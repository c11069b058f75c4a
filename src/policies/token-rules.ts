import { contains, parseAddress, parseNetwork } from "../base/address.ts";
import type { TokenRecord } from "../store/token-book.ts";

/** Who shows a token, and over what. */
export type TokenBearer = { readonly address: string; readonly protocol: string; readonly now: number };

/** Why a token does not let this bearer in, in words for them; undefined when it does. Uses are counted elsewhere. */
export function faultOf(record: TokenRecord, { address, protocol, now }: TokenBearer): string | undefined {
  const { notBefore, expiresAt, addresses, protocols, firstUsedAt, lifetimeMs } = record;
  if (record.revokedAt !== undefined) return "this token was revoked";
  if (notBefore !== undefined && now < notBefore) return "this token does not hold yet";
  if (expiresAt !== undefined && now >= expiresAt) return "this token has expired";
  if (lifetimeMs !== undefined && firstUsedAt !== undefined && now >= firstUsedAt + lifetimeMs) return "the time of this token is over";
  if (protocols && !protocols.some((one) => one.toUpperCase() === protocol.toUpperCase())) return `this token is not for ${protocol}`;
  if (addresses && !within(addresses, address)) return "this token is not for this address";
  return undefined;
}

/** When the token stops to hold for somebody who has used it; undefined: never. */
export function endOf({ expiresAt, lifetimeMs, firstUsedAt }: TokenRecord, now: number): number | undefined {
  const ends = [expiresAt, lifetimeMs === undefined ? undefined : (firstUsedAt ?? now) + lifetimeMs].filter((end) => end !== undefined);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

/** True if the address is one of the list, or in one of its networks. */
export function within(list: readonly string[], address: string): boolean {
  const bytes = parseAddress(address);
  if (!bytes) return list.includes(address);
  return list.some((entry) => {
    const network = parseNetwork(entry);
    return network !== undefined && contains(network, bytes);
  });
}

const tagPrefix = "token:";

/** The tag of every session that a token has let in: by it they are ended when the token is revoked. */
export function tagOf({ id }: Pick<TokenRecord, "id">): string {
  return `${tagPrefix}${id}`;
}

/** The token's id; undefined for another tag. */
export function idOfTag(tag: string): string | undefined {
  return tag.startsWith(tagPrefix) ? tag.slice(tagPrefix.length) : undefined;
}
