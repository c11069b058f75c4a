import type { AccessRequest, TcpConnection } from "../protocol.ts";

const kinds = /^(?:flv|mp4|mp3|f4v|raw):/i;

/** What the client said in `connect`. */
export type ConnectInfo = {
  /** Application name as sent; may carry a query. */
  readonly app: string;
  /** URL of the application as the client sees it; empty if it did not say. */
  readonly tcUrl: string;
  readonly headers: Readonly<Record<string, string>>;
};

/** Reads the command object of `connect`; what is missing becomes empty. */
export function readConnect(object: Readonly<Record<string, unknown>>): ConnectInfo {
  const tcUrl = textOf(object.tcUrl);
  const headers = new Map<string, string>();
  const host = /^[a-z]+:\/\/([^/?#]*)/i.exec(tcUrl)?.[1];
  if (host) headers.set("host", host);
  for (const [field, header] of [
    ["flashVer", "user-agent"],
    ["pageUrl", "referer"],
  ] as const) {
    const value = textOf(object[field]);
    if (value !== "") headers.set(header, value);
  }
  return { app: textOf(object.app), tcUrl, headers: Object.fromEntries(headers) };
}

/**
 * Everything that a decision about `name` may be based on, to publish it or to play it. `name` is the stream name of `publish` or `play` as sent, with
 * its query. As MistServer has it: the URL is `tcUrl`, a slash and the name; the name ends at `?` or at the first slash;
 * the application is the password of a publisher, and nothing of a player. What Flash writes before a name to say what kind of file it is
 * (`flv:live`, `mp4:live`) is no part of it.
 */
export function accessRequest(tcp: TcpConnection, connect: ConnectInfo, name: string, kind: "publish" | "play"): AccessRequest {
  const [app, appQuery] = splitQuery(connect.app);
  const [, urlQuery] = splitQuery(connect.tcUrl);
  const [path, nameQuery] = splitQuery(name);
  const base = connect.tcUrl || `rtmp://${tcp.localAddress}:${tcp.localPort}/${connect.app}`;
  const stream = path.replace(/^\/+/, "").replace(kinds, "").split("/")[0] ?? "";
  return {
    protocol: "RTMP",
    stream: percentDecoded(stream),
    url: `${base}/${name}`,
    address: tcp.address,
    query: Object.fromEntries([appQuery, urlQuery, nameQuery].flatMap(parsePairs)),
    headers: connect.headers,
    cookies: {},
    ...(kind === "publish" && { password: app }),
    connection: tcp,
    carriesToken: false,
    lasting: true,
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function splitQuery(text: string): [path: string, query: string] {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** `+` stays what it is: tokens in base 64 have it, and no RTMP client writes a form. */
function parsePairs(query: string): [string, string][] {
  return query
    .split(/[&?]/)
    .filter((pair) => pair !== "")
    .map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [percentDecoded(pair), ""] : [percentDecoded(pair.slice(0, at)), percentDecoded(pair.slice(at + 1))];
    });
}

/** Percent-decoded if it can be, else as it is. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
