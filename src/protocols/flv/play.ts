import { messageOf } from "../../base/errors.ts";
import { exitOf } from "../../base/exit.ts";
import { type PumpEnd, pump } from "../../base/pump.ts";
import type { Format } from "../../media/format.ts";
import type { Stream } from "../../streams/stream.ts";
import { type Admission, type Host, type HttpExchange, httpAccess, playableTracks } from "../protocol.ts";

/** Milliseconds that a viewer waits for a stream that has no track for it yet. */
const tracksMs = 5000;

export type FlvFormats = { readonly http: Format; readonly webSocket: Format };

/**
 * Plays a stream to one viewer, over HTTP or a WebSocket. Not a byte, the HTTP status included, goes out before the gate
 * has answered; a refusal rejects with the gate's error, which the host turns into the answer.
 */
export async function playFlv(host: Host, exchange: HttpExchange, name: string, formats: FlvFormats): Promise<void> {
  if (exchange.method !== "GET" && exchange.method !== "HEAD") {
    return exchange.reply(405, { Allow: "GET, HEAD, OPTIONS", "Content-Type": "text/plain" }, "FLV is only played here: use GET\n");
  }
  using admission = await host.play({ ...httpAccess(exchange, "FLV", name), lasting: true });
  const stream = admission.value;
  if (!(await hasTracks(stream, formats.http, host, AbortSignal.any([exchange.connection.signal, admission.signal])))) {
    return exchange.reply(
      404,
      { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" },
      nothingToPlay(stream, formats.http),
    );
  }
  const cookie: Record<string, string> = admission.cookie === undefined ? {} : { "Set-Cookie": admission.cookie };
  if (exchange.wantsUpgrade) await overWebSocket(host, exchange, admission, formats.webSocket, cookie);
  else await overHttp(host, exchange, admission, formats.http, cookie);
}

type Watching = Admission<Stream>;
type Headers = Readonly<Record<string, string>>;

async function overHttp(host: Host, exchange: HttpExchange, admission: Watching, format: Format, cookie: Headers): Promise<void> {
  const sink = exchange.stream(200, { "Content-Type": "video/x-flv", "Cache-Control": "no-store", ...cookie });
  const end = await pump(admission.value.chunks(format, "live"), sink, options(host, admission));
  tell(host, exchange, admission, end);
  sink.end();
}

async function overWebSocket(host: Host, exchange: HttpExchange, admission: Watching, format: Format, cookie: Headers): Promise<void> {
  const peer = exchange.upgrade(cookie);
  const end = await pump(admission.value.chunks(format, "live"), peer.sink, options(host, admission));
  // RFC 6455 section 7.4.1: 1000 done, 1008 policy, 1013 try again later.
  if (end === "withdrawn") peer.close(1008, messageOf(admission.signal.reason));
  else if (end === "too-slow") peer.close(1013, "the connection is too slow for this stream");
  else peer.close(1000, "the stream has ended");
  tell(host, exchange, admission, end);
}

function options(host: Host, admission: Watching) {
  return { signal: admission.signal, clock: host.clock, count: (bytes: number) => admission.count(bytes, 0), position: admission.position };
}

function tell(host: Host, exchange: HttpExchange, admission: Watching, end: PumpEnd): void {
  admission.ends(exitOf(end, admission.signal));
  if (end !== "too-slow") return;
  host.log.write("WARN", "FLV viewer ended: the connection is too slow for this stream", {
    stream: admission.askedName,
    address: exchange.address,
  });
}

/** Resolves with true as soon as the format can carry a track of the stream, with false when that does not come about. */
function hasTracks(stream: Stream, format: Format, host: Host, signal: AbortSignal): Promise<boolean> {
  const playable = (): boolean => playableTracks(stream.tracks, format.codecs).length > 0;
  if (playable()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const finish = (): void => {
      timer[Symbol.dispose]();
      changes[Symbol.dispose]();
      signal.removeEventListener("abort", finish);
      resolve(playable());
    };
    const timer = host.clock.after(tracksMs, finish);
    const changes = stream.onChange(() => {
      if (playable()) finish();
    });
    signal.addEventListener("abort", finish);
    void stream.closed.then(finish);
    if (signal.aborted) finish();
  });
}

function nothingToPlay(stream: Stream, format: Format): string {
  const has = stream.tracks.map(({ codec }) => codec).join(", ");
  return `no track of this stream can be carried as FLV: it has ${has || "no track yet"}, FLV takes ${format.codecs.join(", ")}\n`;
}
