/**
 * IP addresses in one form: 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2), so that both families
 * are compared, hashed and matched alike.
 */
export type AddressBytes = Uint8Array;

/** A range of addresses: all whose first `bits` bits (of 128) equal those of `base`. */
export type Network = { readonly base: AddressBytes; readonly bits: number };

const longestText = 64;

/**
 * Reads an IPv4 or IPv6 address; brackets and an IPv6 zone (`%eth0`) are dropped. Gives undefined for anything else,
 * host names included.
 */
export function parseAddress(text: string): AddressBytes | undefined {
  if (text.length > longestText) return undefined;
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  const zone = bare.indexOf("%");
  const plain = zone < 0 ? bare : bare.slice(0, zone);
  if (plain.includes(":")) return parseV6(plain);
  const v4 = parseV4(plain);
  return v4 && mapped(v4);
}

/** The usual text: IPv4 with dots, IPv6 in the short form of RFC 5952. */
export function formatAddress(address: AddressBytes): string {
  if (isMapped(address)) return address.subarray(12).join(".");
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((address[at] ?? 0) << 8) | (address[at + 1] ?? 0));
  const gap = longestZeros(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  return gap.length < 2 ? hex(groups) : `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}`;
}

/** The address in its usual text form; text that is no address comes back as it is. */
export function canonicalAddress(text: string): string {
  const address = parseAddress(text);
  return address ? formatAddress(address) : text;
}

/** Reads `10.0.0.0/8`, `2001:db8::/32` or a single address. Gives undefined for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const base = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!base) return undefined;
  if (slash < 0) return { base, bits: 128 };
  const digits = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(digits)) return undefined;
  const short = !text.slice(0, slash).includes(":");
  const bits = Number(digits) + (short ? 96 : 0);
  return bits <= 128 ? { base, bits } : undefined;
}

/** True if the address lies in the network. */
export function contains(network: Network, address: AddressBytes): boolean {
  const whole = network.bits >> 3;
  for (let at = 0; at < whole; at++) if (network.base[at] !== address[at]) return false;
  const rest = network.bits & 7;
  if (rest === 0) return true;
  const mask = 0xff & (0xff << (8 - rest));
  return ((network.base[whole] ?? 0) & mask) === ((address[whole] ?? 0) & mask);
}

function parseV4(text: string): readonly number[] | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!parts) return undefined;
  const bytes = parts.slice(1).map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parseV6(text: string): AddressBytes | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  for (let at = 0; at < 8; at++) {
    const group = groups[at] ?? 0;
    bytes[at * 2] = group >> 8;
    bytes[at * 2 + 1] = group & 0xff;
  }
  return bytes;
}

/** 16-bit groups of one side of `::`; the last may be a dotted IPv4 address when `dotted` allows it. */
function groupsOf(text: string, dotted: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      const v4 = dotted && at === parts.length - 1 ? parseV4(part) : undefined;
      if (!v4) return undefined;
      groups.push(((v4[0] ?? 0) << 8) | (v4[1] ?? 0), ((v4[2] ?? 0) << 8) | (v4[3] ?? 0));
    }
  }
  return groups;
}

function mapped(v4: readonly number[]): AddressBytes {
  const bytes = new Uint8Array(16);
  bytes[10] = bytes[11] = 0xff;
  bytes.set(v4, 12);
  return bytes;
}

function isMapped(address: AddressBytes): boolean {
  for (let at = 0; at < 10; at++) if (address[at] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let at = 0; at <= groups.length; at++) {
    if (groups[at] === 0) continue;
    if (at - start > best.length) best = { start, length: at - start };
    start = at + 1;
  }
  return best;
}
