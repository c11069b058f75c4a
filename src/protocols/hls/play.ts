import { SluiceError } from "../../base/errors.ts";
import type { Clock } from "../../base/time.ts";
import type { Stream } from "../../streams/stream.ts";
import { type Admission, type Host, type HttpExchange, httpAccess } from "../protocol.ts";
import { type FragmentList, Packager } from "./packager.ts";
import { withQuery } from "./playlist.ts";

/** The protocol's part of the configuration. */
export type HlsOptions = {
  /** Segments in a live playlist. */
  readonly segmentWindow: number;
  /** Milliseconds that a request waits for the first segment of a stream that has just begun. */
  readonly startWaitMs: number;
};

/** What a path asks for. `tracks` and `file` are as the client wrote them. */
export type HlsPath = { readonly stream: string; readonly tracks?: string; readonly file?: string };

/** Live playlists change every few seconds, and each viewer's is its own. */
const playlistHeaders = {
  "Content-Type": "application/vnd.apple.mpegurl",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
  Expires: "0",
} as const;
const textHeaders = { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" } as const;
/** Where a viewer's token may stand in a query; playlists carry it as `tkn`. */
const tokenNames: ReadonlySet<string> = new Set(["tkn", "jwt", "sid", "sessId"]);
/** A longer query is not repeated on each line of a playlist. */
const longestQuery = 2048;
/** Least time that caches may keep a segment, in seconds. */
const minAge = 10;

/**
 * Reads `/hls/NAME/index.m3u8`, `/hls/NAME/1_2/index.m3u8` and `/hls/NAME/1_2/FILE.ts`; the path is percent-decoded, and
 * NAME may hold anything, slashes included.
 */
export function parseHlsPath(path: string): HlsPath | undefined {
  const media = /^\/hls\/(.+)\/(\d{1,9}(?:_\d{1,9})?)\/(?:index\.m3u8|([\w-]{1,64}\.ts))$/.exec(path);
  if (media) return { stream: media[1]!, tracks: media[2]!, ...(media[3] !== undefined && { file: media[3] }) };
  const top = /^\/hls\/(.+)\/index\.m3u8$/.exec(path);
  return top ? { stream: top[1]! } : undefined;
}

/** Answers playlist and segment requests. The packagers live as long as their streams. */
export class HlsPlayer {
  readonly #host: Host;
  readonly #options: HlsOptions;
  readonly #packagers = new WeakMap<Stream, Packager>();

  constructor(host: Host, options: HlsOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** One request. Rejects with the `SluiceError` that the client is to be told. */
  async play(exchange: HttpExchange, asked: HlsPath): Promise<void> {
    if (exchange.method !== "GET" && exchange.method !== "HEAD")
      return exchange.reply(405, { ...textHeaders, Allow: "GET, HEAD, OPTIONS" }, `HLS is read with GET or HEAD, not ${exchange.method}\n`);
    // Nothing of the stream is looked at, and no media is made, before the gate has said yes.
    using admission = await this.#host.play(httpAccess(exchange, "HLS", asked.stream));
    const stream = admission.value;
    const packager = this.#packagerOf(stream);
    const list = await fragmentsOf(stream, admission, exchange, this.#host.clock, this.#options.startWaitMs);
    if (asked.tracks === undefined) {
      const text = await packager.multivariant(list);
      return send(exchange, admission, playlistHeaders, withQuery(text, ownQuery(exchange, admission)));
    }
    const selection = packager.select(asked.tracks, list);
    if (!selection)
      return refuse(exchange, admission, `no track ${asked.tracks.replace("_", " or ")} plays here; the addresses are in ../index.m3u8`);
    if (asked.file === undefined) {
      // Segments without tokens are the same for all and may be cached: a viewer's query would keep them apart.
      const query = admission.urlToken === undefined ? "" : ownQuery(exchange, admission);
      return send(exchange, admission, playlistHeaders, withQuery(packager.playlist(selection, list), query));
    }
    const segment = await packager.segment(selection, asked.file, list);
    if (!segment) return refuse(exchange, admission, "the requested segment is not kept any more (or never was); reload the playlist");
    const headers = { "Content-Type": "video/mp2t", "Cache-Control": segmentCaching(admission, packager.windowMs(list)) };
    send(exchange, admission, headers, segment);
    const endMs = packager.endMs(asked.file, list);
    if (endMs !== undefined) admission.position(endMs);
  }

  #packagerOf(stream: Stream): Packager {
    const known = this.#packagers.get(stream);
    if (known) return known;
    const packager = new Packager(stream, this.#options.segmentWindow);
    this.#packagers.set(stream, packager);
    void stream.closed.then(() => packager.clear());
    return packager;
  }
}

/**
 * What the viewer's next requests carry: the parameters that it came with, and its token. Whoever decides may be asked
 * again at any of them (after `stop_sessid`, or when an answer is not good any more), and needs the same to go by.
 */
function ownQuery(exchange: HttpExchange, admission: Admission<Stream>): string {
  const own = new URLSearchParams(exchange.url.search);
  for (const name of [...own.keys()]) if (tokenNames.has(name) || name.startsWith("_HLS_")) own.delete(name);
  const text = own.toString();
  const parts = [text.length > longestQuery ? "" : text, admission.urlToken === undefined ? "" : `tkn=${admission.urlToken}`];
  return parts.filter((part) => part !== "").join("&");
}

/** A token in the address must not come out of a cache for somebody else, and neither must one in a cookie. */
function segmentCaching(admission: Admission<Stream>, windowMs: number): string {
  if (admission.urlToken !== undefined) return "no-store";
  const scope = admission.cookie === undefined ? "public" : "private";
  return `${scope}, max-age=${Math.max(minAge, Math.round(windowMs / 1000))}, immutable`;
}

function send(
  exchange: HttpExchange,
  admission: Admission<Stream>,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | string,
): void {
  // The session may have been ended while something was waited for.
  admission.signal.throwIfAborted();
  exchange.reply(200, withCookie(headers, admission), body);
  if (exchange.method === "HEAD") return;
  admission.count(typeof body === "string" ? new TextEncoder().encode(body).length : body.length, 0);
}

function refuse(exchange: HttpExchange, admission: Admission<Stream>, text: string): void {
  exchange.reply(404, withCookie(textHeaders, admission), `${text}\n`);
}

function withCookie(headers: Readonly<Record<string, string>>, admission: Admission<Stream>): Readonly<Record<string, string>> {
  return admission.cookie === undefined ? headers : { ...headers, "Set-Cookie": admission.cookie };
}

/**
 * The stream's fragments; for a stream that has just begun it waits until the first is complete. Rejects when the stream
 * ends without one, the viewer goes or may not go on, or the time is over.
 */
async function fragmentsOf(
  stream: Stream,
  admission: Admission<Stream>,
  exchange: HttpExchange,
  clock: Clock,
  waitMs: number,
): Promise<FragmentList> {
  const now = await stream.fragments();
  if (now.fragments.length > 0) return now;
  let wake = (): void => {};
  let late = false;
  const gone = exchange.connection.signal;
  using watched = new DisposableStack();
  watched.use(stream.onChange(() => wake()));
  watched.use(
    clock.after(waitMs, () => {
      late = true;
      wake();
    }),
  );
  for (const signal of [gone, admission.signal]) {
    const onAbort = (): void => wake();
    signal.addEventListener("abort", onAbort);
    watched.defer(() => signal.removeEventListener("abort", onAbort));
  }
  for (;;) {
    // Made before the question, so that a change between answer and waiting is not missed.
    const changed = new Promise<void>((resolve) => (wake = resolve));
    const list = await stream.fragments();
    admission.signal.throwIfAborted();
    if (list.fragments.length > 0) return list;
    if (list.ended) throw new SluiceError("access.offline", "the stream ended before it had a segment");
    if (gone.aborted) throw new SluiceError("access.ended", "the viewer has gone");
    if (late) throw new SluiceError("access.offline", `the stream had no complete segment within ${waitMs / 1000} s; try again`);
    await changed;
  }
}
