import { isSluiceError, messageOf } from "../../base/errors.ts";
import { retryAfterSeconds } from "../../base/refusal-headers.ts";
import { streamName } from "../../base/stream-name.ts";
import type { Track } from "../../media/track.ts";
import type { Stream, StreamState } from "../../streams/stream.ts";
import { type Admission, type Host, type HttpExchange, httpAccess, type WebSocketPeer } from "../protocol.ts";
import { offlineInfo, streamInfo } from "./stream-info.ts";

/** Changes that come together are told together. */
const gatherMs = 250;
const pingMs = 10_000;
/** Who waits for a stream that has another name than was asked for (rewritten, a token's) hears of no change: it is asked now and then. */
const offlineMs = 8000;
/**
 * Who was let in to something else, as the stream was offline, stays with that while its session lives: 15 s longer than its last
 * request. When the stream is back, this lets the session go and asks again after so long.
 */
const redirectedMs = 16_000;

/** RFC 6455 section 5.5.2: a ping without content. */
const ping = Uint8Array.of(0x89, 0);

/** What the gate said: let in, or not now. A no ends it all. */
type Seen =
  | { readonly kind: "admitted"; readonly admission: Admission<Stream> }
  | { readonly kind: "offline"; readonly guru: string }
  | { readonly kind: "refused"; readonly reason: string; readonly retryAfterMs: number | undefined };

/**
 * The stream information over a WebSocket: at once, and again whenever the stream's state or tracks are others, so that a page knows
 * when the stream is there. The gate is asked as for each output; the viewer's session lives as long as the WebSocket has a stream.
 */
export async function serveInfoSocket(host: Host, exchange: HttpExchange, name: string): Promise<void> {
  const seen = await ask(host, exchange, name);
  const cookie = seen.kind === "admitted" ? seen.admission.cookie : undefined;
  let peer: WebSocketPeer;
  try {
    peer = exchange.upgrade(cookie === undefined ? {} : { "Set-Cookie": cookie });
  } catch (error) {
    release(seen);
    throw error;
  }
  using pinging = host.clock.every(pingMs, () => peer.sink.write(ping));
  await follow({ host, exchange, name, peer }, seen);
  void pinging;
}

type Socket = { readonly host: Host; readonly exchange: HttpExchange; readonly name: string; readonly peer: WebSocketPeer };

async function follow({ host, exchange, name, peer }: Socket, first: Seen): Promise<void> {
  let seen = first;
  let token = "";
  let told: { readonly text: string; readonly state: StreamState; readonly tracks: readonly Track[]; readonly standIn: string } | undefined;
  try {
    for (;;) {
      if (peer.sink.signal.aborted) return;
      if (seen.kind === "refused") {
        const { reason, retryAfterMs } = seen;
        const wait = retryAfterMs === undefined ? {} : { retryAfter: retryAfterSeconds(retryAfterMs) };
        peer.sendText(JSON.stringify({ error: "Could not retrieve stream. Sorry.", error_guru: reason, refused: true, ...wait }));
        return peer.close(1008, "refused");
      }
      const stream = seen.kind === "admitted" ? seen.admission.value : undefined;
      const { state, tracks }: Pick<Stream, "state" | "tracks"> = stream ?? { state: "offline", tracks: [] };
      const standIn = seen.kind === "admitted" ? JSON.stringify(seen.admission.standIn?.() ?? null) : "";
      if (state !== told?.state || (stream !== undefined && (tracks !== told.tracks || standIn !== told.standIn))) {
        const text = JSON.stringify(
          seen.kind === "admitted" ? infoOf(host, exchange, seen.admission) : offlineInfo("offline", { guru: seen.guru }),
        );
        if (text !== told?.text) {
          peer.sendText(text);
          if (seen.kind === "admitted") seen.admission.count(text.length, 0);
        }
        told = { text, state, tracks, standIn };
      }
      const anew = await news(host, streamName(name), seen, peer);
      if (!anew) continue;
      release(seen);
      if (seen.kind === "admitted") token = seen.admission.token;
      if (!peer.sink.signal.aborted) seen = await ask(host, exchange, name, token);
    }
  } finally {
    release(seen);
  }
}

/** Waits until there may be something else to tell. Resolves with true when the gate is to be asked again. */
async function news(host: Host, asked: string, seen: Seen, peer: WebSocketPeer): Promise<boolean> {
  using waiting = new DisposableStack();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const soon = (anew: boolean): void => void waiting.use(host.clock.after(gatherMs, () => resolve(anew)));
  const onAbort = (signal: AbortSignal): void => {
    const run = (): void => resolve(true);
    signal.addEventListener("abort", run, { once: true });
    waiting.defer(() => signal.removeEventListener("abort", run));
    if (signal.aborted) run();
  };
  onAbort(peer.sink.signal);
  if (seen.kind === "admitted") {
    const { admission } = seen;
    const { value: stream, redirected, signal } = admission;
    onAbort(signal);
    waiting.use(stream.onChange(() => soon(stream.state === "offline")));
    if (stream.state === "offline") soon(true);
    const listening = admission.onStandIn?.(() => soon(false));
    if (listening) waiting.use(listening);
    // Who is kept is taken back, or asks to be.
    if (redirected && !admission.standIn?.()) {
      const leave = (): void => {
        // Held, it would keep the viewer where it is.
        admission[Symbol.dispose]();
        waiting.use(host.clock.after(redirectedMs, () => resolve(true)));
      };
      let leaving = false;
      waiting.use(
        host.live.onStream(asked, () => {
          if (!leaving) leave();
          leaving = true;
        }),
      );
    }
  } else {
    waiting.use(host.live.onStream(asked, () => soon(true)));
    waiting.use(host.clock.after(offlineMs, () => resolve(true)));
  }
  return await promise;
}

/** `token`: the one that the viewer got at an earlier question; who brings another stays with that. */
async function ask(host: Host, exchange: HttpExchange, name: string, token = ""): Promise<Seen> {
  try {
    const request = httpAccess(exchange, "HTTP", name, true);
    const { query, cookies } = request;
    const same = token === "" ? request : { ...request, query: { tkn: token, ...query }, cookies: { tkn: token, ...cookies } };
    return { kind: "admitted", admission: await host.play(same) };
  } catch (error) {
    if (isSluiceError(error, "access.offline") || isSluiceError(error, "access.unknown") || isSluiceError(error, "source.failed")) {
      return { kind: "offline", guru: messageOf(error) };
    }
    if (isSluiceError(error)) return { kind: "refused", reason: error.message, retryAfterMs: error.retryAfterMs };
    throw error;
  }
}

function infoOf(host: Host, exchange: HttpExchange, admission: Admission<Stream>): object {
  const { state } = admission.value;
  return state === "ready" ? streamInfo(exchange, admission, host.watchAddresses()) : offlineInfo(state, { token: admission.urlToken });
}

function release(seen: Seen): void {
  if (seen.kind === "admitted") seen.admission[Symbol.dispose]();
}
