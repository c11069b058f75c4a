import type { HttpExchange } from "../protocol.ts";

/** What a path asks for. `tracks` and `file` are as the client wrote them. */
export type HlsPath = {
  readonly stream: string;
  readonly tracks?: string;
  readonly file?: string;
  /** The viewer's token, where it stands in the path. */
  readonly token?: string;
};

/** Where playlists put the viewer's token. */
export type TokenPlace = "query" | "path";

/** Where a viewer's token may stand in a query; playlists carry it as `tkn`. */
const tokenNames: ReadonlySet<string> = new Set(["tkn", "jwt", "sid", "sessId"]);
/** A longer query is not repeated on each line of a playlist. */
const longestQuery = 2048;
/** The folder that is a token. The base of a stream's name has none of its first and last character. */
const folder = "~tkn=";

/**
 * Reads `/hls/NAME/index.m3u8`, `/hls/NAME/1_2/index.m3u8` and `/hls/NAME/1_2/FILE.ts`, each also with a token behind the
 * name: `/hls/NAME/~tkn=TOKEN/...`. The path is percent-decoded, and NAME and TOKEN may hold anything, slashes included.
 */
export function parseHlsPath(path: string): HlsPath | undefined {
  const media = /^\/hls\/(.+)\/(\d{1,9}(?:_\d{1,9})?)\/(?:index\.m3u8|([\w-]{1,64}\.ts))$/s.exec(path);
  if (media) return { ...nameAndToken(media[1]!), tracks: media[2]!, ...(media[3] !== undefined && { file: media[3] }) };
  const top = /^\/hls\/(.+)\/index\.m3u8$/s.exec(path);
  return top ? nameAndToken(top[1]!) : undefined;
}

function nameAndToken(text: string): Pick<HlsPath, "stream" | "token"> {
  const at = text.indexOf(`/${folder}`, 1);
  const token = at < 0 ? "" : text.slice(at + 1 + folder.length);
  return token === "" ? { stream: text } : { stream: text.slice(0, at), token };
}

/** The query that the gate is to look at: a token in the path is the viewer's, unless the query has another one. */
export function withPathToken(query: HttpExchange["query"], token: string): HttpExchange["query"] {
  return hasQueryToken(query) ? query : { ...query, tkn: token };
}

/** True when the request says in its address or header who the viewer is. */
export function namesViewer({ query, headers }: HttpExchange, { token }: HlsPath): boolean {
  return token !== undefined || hasQueryToken(query) || headers["authorization"] !== undefined;
}

function hasQueryToken(query: HttpExchange["query"]): boolean {
  for (const name of tokenNames) if (query[name]) return true;
  return false;
}

/**
 * The parameters that the viewer came with, but for its token. They go on with it: whoever decides may be asked again at any
 * of its requests (after `stop_sessid`, or when an answer is not good any more), and needs the same to go by.
 */
export function ownParameters({ url }: HttpExchange): string {
  const own = new URLSearchParams(url.search);
  // Asked for once, when a viewer comes back to a stream that is live again.
  own.delete("tolive");
  for (const name of [...own.keys()]) if (tokenNames.has(name) || name === "was" || name.startsWith("_HLS_")) own.delete(name);
  const text = own.toString();
  return text.length > longestQuery ? "" : text;
}

/** What goes before and behind each address of a playlist. */
export type Around = { readonly prefix: string; readonly query: string };

/** `urlToken` is percent-encoded; undefined writes none. `token` is the same as it is. */
export function around(
  asked: HlsPath,
  place: TokenPlace,
  { urlToken, token }: { readonly urlToken: string | undefined; readonly token: string },
  parameters: string,
): Around {
  if (urlToken === undefined || place === "query") return { prefix: "", query: joined(parameters, urlToken) };
  return { prefix: asked.token === token ? "" : rootOf(asked, `${folder}${urlToken}/`), query: parameters };
}

/** Addresses without any token, the same for all viewers. */
export function aroundShared(asked: HlsPath): Around {
  return { prefix: asked.token === undefined ? "" : rootOf(asked, ""), query: "" };
}

/** Up to the folder of the stream, and down again to where the playlist is. */
function rootOf({ token, tracks }: HlsPath, below: string): string {
  // A slash in a token is percent-encoded: for whoever follows an address the token is one folder.
  const up = "../".repeat((tracks === undefined ? 0 : 1) + (token === undefined ? 0 : 1));
  return `${up}${below}${tracks === undefined ? "" : `${tracks}/`}`;
}

function joined(parameters: string, urlToken: string | undefined): string {
  return [parameters, urlToken === undefined ? "" : `tkn=${urlToken}`].filter((part) => part !== "").join("&");
}
