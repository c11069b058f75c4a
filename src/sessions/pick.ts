import { contains, type Network, parseAddress, parseNetwork } from "../base/address.ts";
import type { SessionPick, SessionView } from "./session.ts";

/** What of a session can be picked: the same lists, of what it has. */
export type Traits = Required<SessionPick>;

/** A predicate that takes the sessions that fit any of the lists. Empty texts fit nobody, and so does a pick without lists. */
export function picks(pick: SessionPick): (session: SessionView) => boolean {
  const fits = matcher(pick);
  return ({ id, stream, tags, user, token, host }) =>
    fits({ ids: [id], streams: [stream], tags, users: [user], tokens: [token], addresses: [host] });
}

/** The same for all that is known of a session, also when it has had several streams and addresses. */
export function matcher(pick: SessionPick): (traits: Traits) => boolean {
  const [ids, tags, users, tokens] = [setOf(pick.ids), setOf(pick.tags), setOf(pick.users), setOf(pick.tokens)];
  const stream = streamMatcher(pick.streams);
  const address = addressMatcher(pick.addresses);
  return (traits) =>
    hasAny(ids, traits.ids) ||
    hasAny(tags, traits.tags) ||
    hasAny(users, traits.users) ||
    hasAny(tokens, traits.tokens) ||
    (stream !== undefined && traits.streams.some(stream)) ||
    (address !== undefined && traits.addresses.some(address));
}

/** Takes sessions that have had one of exactly these streams: MistServer's calls know no patterns. */
export function exactStreams(streams: readonly string[]): (traits: Traits) => boolean {
  const wanted = new Set(streams);
  return (traits) => hasAny(wanted, traits.streams);
}

function setOf(list: readonly string[] = []): ReadonlySet<string> {
  return new Set(list.filter((text) => text !== ""));
}

function hasAny(set: ReadonlySet<string>, list: readonly string[]): boolean {
  return set.size > 0 && list.some((text) => set.has(text));
}

function streamMatcher(list: readonly string[] = []): ((stream: string) => boolean) | undefined {
  const names = new Set(list);
  const below = list.filter((text) => text.endsWith("+") && !text.includes("*"));
  const patterns = list.filter((text) => text.includes("*")).map((text) => text.split("*"));
  names.delete("");
  if (names.size === 0) return undefined;
  return (stream) =>
    stream !== "" &&
    (names.has(stream) ||
      below.some((prefix) => stream.length > prefix.length && stream.startsWith(prefix)) ||
      patterns.some((pieces) => likePattern(stream, pieces)));
}

/** `pieces`: what stands between the stars. In one go from left to right: no pattern can make it slow. */
function likePattern(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0] ?? "";
  const last = pieces.at(-1) ?? "";
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

function addressMatcher(list: readonly string[] = []): ((address: string) => boolean) | undefined {
  if (list.length === 0) return undefined;
  const networks = list.map(parseNetwork).filter((network): network is Network => network !== undefined);
  // Clients on local pipes have addresses that are none.
  const texts = new Set(list.filter((text) => text !== "" && !parseNetwork(text)));
  return (address) => {
    const bytes = parseAddress(address);
    return bytes ? networks.some((network) => contains(network, bytes)) : texts.has(address);
  };
}
