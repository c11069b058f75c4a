import { isSluiceError, SluiceError } from "../../base/errors.ts";
import type { Clock } from "../../base/time.ts";
import type { Stream } from "../../streams/stream.ts";
import { type AccessRequest, type Admission, type Host, type HttpExchange, httpAccess } from "../protocol.ts";
import { type Around, around, aroundShared, type HlsPath, namesViewer, ownParameters, type TokenPlace, withPathToken } from "./address.ts";
import { type FragmentList, isSharedName, Packager } from "./packager.ts";
import { withAround } from "./playlist.ts";
import { ShownStreams } from "./shown.ts";

/** The protocol's part of the configuration. */
export type HlsOptions = {
  /** Segments in a live playlist. */
  readonly segmentWindow: number;
  /** Milliseconds that a request waits for the first segment of a stream that has just begun. */
  readonly startWaitMs: number;
  /** Where playlists put the viewer's token. */
  readonly tokenIn: TokenPlace;
  /** Live segments are the same for all viewers and need no token: for a CDN in front. */
  readonly sharedSegments: boolean;
};

/** Live playlists change every few seconds, and each viewer's is its own. */
const playlistHeaders = {
  "Content-Type": "application/vnd.apple.mpegurl",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
  Expires: "0",
} as const;
const textHeaders = { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" } as const;
/** Least time that caches may keep a segment, in seconds. */
const minAge = 10;

/** Answers playlist and segment requests. The packagers live as long as their streams. */
export class HlsPlayer {
  readonly #host: Host;
  readonly #options: HlsOptions;
  readonly #packagers = new WeakMap<Stream, Packager>();
  readonly #shown: ShownStreams;

  constructor(host: Host, options: HlsOptions) {
    this.#host = host;
    this.#options = options;
    this.#shown = new ShownStreams(host.clock);
  }

  /** One request. Rejects with the `SluiceError` that the client is to be told. */
  async play(exchange: HttpExchange, asked: HlsPath): Promise<void> {
    if (exchange.method !== "GET" && exchange.method !== "HEAD")
      return exchange.reply(405, { ...textHeaders, Allow: "GET, HEAD, OPTIONS" }, `HLS is read with GET or HEAD, not ${exchange.method}\n`);
    if (this.#options.sharedSegments && isSharedName(asked.file) && !namesViewer(exchange, asked))
      return await this.#sharedSegment(exchange, asked, asked.file);
    const access = httpAccess(exchange, "HLS", asked.stream);
    const request = asked.token === undefined ? access : { ...access, query: withPathToken(exchange.query, asked.token) };
    // Nothing of the stream is looked at, and no media is made, before the gate has said yes.
    using admission = await this.#admitted(exchange, asked, request);
    if (!admission) return;
    const stream = admission.value;
    const packager = this.#packagerOf(stream);
    const list = await fragmentsOf(stream, admission, exchange, this.#host.clock, this.#options.startWaitMs);
    if (asked.tracks === undefined) {
      const text = await packager.multivariant(list);
      return send(exchange, admission, playlistHeaders, withAround(text, this.#around(exchange, asked, admission)));
    }
    const selection = packager.select(asked.tracks, list);
    if (!selection)
      return refuse(exchange, admission, `no track ${asked.tracks.replace("_", " or ")} plays here; the addresses are in ../index.m3u8`);
    if (asked.file === undefined) {
      this.#shown.show(asked.stream, stream);
      const text = withAround(packager.playlist(selection, list), this.#aroundSegments(exchange, asked, packager, admission));
      return send(exchange, admission, playlistHeaders, text);
    }
    const segment = await packager.segment(selection, asked.file, list);
    if (!segment) return refuse(exchange, admission, noSegment);
    const headers = { "Content-Type": "video/mp2t", "Cache-Control": segmentCaching(admission, packager.windowMs(list)) };
    send(exchange, admission, headers, segment);
    const endMs = packager.endMs(asked.file, list);
    if (endMs !== undefined) admission.position(endMs);
  }

  /**
   * Undefined when the request was answered: a viewer who was watching until a no gets a playlist with an end, once more what
   * it has already got. Players take that for the end of the programme and ask no more; a 403 alone they would try again.
   */
  async #admitted(exchange: HttpExchange, asked: HlsPath, request: AccessRequest): Promise<Admission<Stream> | undefined> {
    try {
      return await this.#host.play(request);
    } catch (error) {
      if (!isSluiceError(error) || error.watchedMs === undefined || asked.tracks === undefined || asked.file !== undefined) throw error;
      const [stream, other] = this.#shown.of(asked.stream);
      // Where one name stands for several streams nobody knows any more which one this viewer saw.
      if (!stream || other) throw error;
      const list = await stream.fragments();
      const packager = this.#packagerOf(stream);
      const selection = packager.select(asked.tracks, list);
      if (!selection || list.fragments.length === 0) throw error;
      exchange.reply(200, playlistHeaders, packager.lastPlaylist(list, error.watchedMs));
      return undefined;
    }
  }

  /**
   * A segment for whoever knows its name, which stands only in playlists that the gate let out. It belongs to no session, and
   * the gate is not asked: whoever fetches it for many viewers is none itself.
   */
  async #sharedSegment(exchange: HttpExchange, asked: HlsPath, file: string): Promise<void> {
    for (const stream of this.#shown.of(asked.stream)) {
      const packager = this.#packagerOf(stream);
      if (!packager.shared) continue;
      const list = await stream.fragments();
      const selection = packager.select(asked.tracks ?? "", list);
      const segment = selection && (await packager.segment(selection, file, list));
      if (!segment) continue;
      const headers = { "Content-Type": "video/mp2t", "Cache-Control": cached("public", packager.windowMs(list)) };
      return exchange.reply(200, headers, segment);
    }
    exchange.reply(404, textHeaders, `${noSegment}\n`);
  }

  #around(exchange: HttpExchange, asked: HlsPath, admission: Admission<Stream>): Around {
    return around(asked, this.#options.tokenIn, admission, ownParameters(exchange));
  }

  /** Segments without tokens are the same for all and may be cached: a viewer's query would keep them apart. */
  #aroundSegments(exchange: HttpExchange, asked: HlsPath, packager: Packager, admission: Admission<Stream>): Around {
    if (packager.shared) return aroundShared(asked);
    return admission.urlToken === undefined ? { prefix: "", query: "" } : this.#around(exchange, asked, admission);
  }

  #packagerOf(stream: Stream): Packager {
    const known = this.#packagers.get(stream);
    if (known) return known;
    const packager = new Packager(stream, this.#options.segmentWindow, this.#options.sharedSegments);
    this.#packagers.set(stream, packager);
    void stream.closed.then(() => {
      packager.clear();
      this.#shown.forget(stream);
    });
    return packager;
  }
}

const noSegment = "the requested segment is not kept any more (or never was); reload the playlist";

/** A token in the address must not come out of a cache for somebody else, and neither must one in a cookie. */
function segmentCaching(admission: Admission<Stream>, windowMs: number): string {
  if (admission.urlToken !== undefined) return "no-store";
  return cached(admission.cookie === undefined ? "public" : "private", windowMs);
}

function cached(scope: "public" | "private", windowMs: number): string {
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
