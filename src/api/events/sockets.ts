import { type IncomingMessage, STATUS_CODES } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { isSluiceError, messageOf, SluiceError } from "../../base/errors.ts";
import type { WebSocketPeer } from "../../protocols/protocol.ts";
import type { StreamState } from "../../streams/stream.ts";
import { askerOf, isForeignPage } from "../asker.ts";
import type { Authorizer } from "../mist/authorize.ts";
import type { ApiParts } from "../parts.ts";
import type { Principal } from "../principal.ts";
import { includes } from "../rest/frame/mount.ts";
import { principalOf } from "../rest/rest.ts";
import { eventKinds } from "./kinds.ts";
import { authText, frameOf, readWish, type SocketWish, streamText, textFrame, withinHistory } from "./socket-frames.ts";

/** Milliseconds to log in. */
const loginMs = 10_000;
/** Milliseconds between two looks at the streams. */
const lookMs = 1000;
const mostSockets = 500;
const mostEvents = 256;
const tooSlow = "Too slow, sorry";

type SocketParts = Pick<
  ApiParts,
  "events" | "directory" | "sessions" | "streamTags" | "clock" | "log" | "clientAddress" | "peerAddress" | "acceptWebSocket"
>;
type Follower = { readonly peer: WebSocketPeer; readonly wish: SocketWish };

/**
 * MistServer's WebSocket `/ws`: log lines, ends of sessions and streams as JSON arrays. Each frame is made once for all
 * peers; a peer that takes nothing loses what comes meanwhile.
 */
export class EventSockets {
  readonly #parts: SocketParts;
  readonly #authorizer: Authorizer;
  readonly #followers = new Set<Follower>();
  #sockets = 0;
  #place = 0;
  #following: Disposable | undefined;
  #looking: Disposable | undefined;
  /** What was told last of each stream. */
  #streams: ReadonlyMap<string, string> = new Map();

  constructor(parts: SocketParts, authorizer: Authorizer) {
    this.#parts = parts;
    this.#authorizer = authorizer;
  }

  /** Answers a request for a WebSocket. */
  async upgrade(request: IncomingMessage, duplex: Duplex, head: Uint8Array): Promise<void> {
    if (!(duplex instanceof Socket)) return void duplex.destroy();
    duplex.on("error", () => {}); // "close" follows
    duplex.setTimeout(0);
    try {
      const url = new URL(request.url ?? "/", "http://localhost");
      if (url.pathname !== "/ws") throw new SluiceError("api.unknown", "The API's WebSocket is at /ws");
      if (this.#sockets >= mostSockets) throw new SluiceError("access.full", `${mostSockets} WebSockets are open already; end some`);
      const principal = await this.#principalOf(request);
      const peer = this.#parts.acceptWebSocket(request, duplex, head);
      this.#sockets++;
      peer.sink.signal.addEventListener("abort", () => void this.#sockets--, { once: true });
      this.#begin(peer, request, duplex, readWish(url.searchParams), principal);
    } catch (error) {
      this.#refuse(duplex, error);
    }
  }

  #begin(peer: WebSocketPeer, request: IncomingMessage, socket: Socket, wish: SocketWish, principal: Principal | undefined): void {
    peer.sendText(authText(principal !== undefined));
    if (principal) return this.#follow(peer, wish, principal);
    const late = this.#parts.clock.after(loginMs, () => {
      peer.sendText(authText(tooSlow));
      peer.close(1008, tooSlow);
    });
    peer.sink.signal.addEventListener("abort", () => late[Symbol.dispose](), { once: true });
    let done = false;
    peer.onMessage((data) => {
      const member = done ? undefined : loginOf(data);
      if (member === undefined) return;
      const asker = askerOf(this.#parts.peerAddress(socket), headersOf(request), this.#parts.clientAddress);
      this.#authorizer.authorize({ asker, connection: socket, member, header: undefined }).then(
        ({ principal: who, reply }) => {
          if (done) return;
          peer.sendText(authText(reply));
          if (!who) return;
          done = true;
          late[Symbol.dispose]();
          this.#follow(peer, wish, who);
        },
        (error: unknown) => this.#parts.log.write("ERROR", `API: ${messageOf(error)}`),
      );
    });
  }

  #follow(peer: WebSocketPeer, wish: SocketWish, { scope }: Principal): void {
    const { events } = this.#parts;
    if (peer.sink.signal.aborted) return;
    const allowed = { ...wish, logs: includes(scope, eventKinds.log.scope) ? wish.logs : undefined };
    // What has come since the others were told last is told them first: the newcomer has it from the history.
    this.#tell();
    const { logs, accs } = allowed;
    if (logs) for (const event of withinHistory(events.newest("log", eventKinds.log.kept), logs)) write(peer, frameOf(event));
    const ends = accs ? events.newest("session", eventKinds.session.kept).filter(({ type }) => type === "ended") : [];
    if (accs) for (const event of withinHistory(ends, accs)) write(peer, frameOf(event));
    if (wish.streams) {
      const present = this.#present();
      for (const text of present.values()) write(peer, textFrame(text));
      // While nobody looked, nothing was noted: what has changed since is no news to anybody.
      if (!this.#looking) this.#streams = present;
    }
    const follower: Follower = { peer, wish: allowed };
    if (this.#followers.size === 0) this.#place = events.last;
    this.#followers.add(follower);
    this.#following ??= events.follow(() => this.#tell());
    if (wish.streams) this.#looking ??= this.#parts.clock.every(lookMs, () => this.#tellStreams());
    peer.sink.signal.addEventListener("abort", () => this.#leave(follower), { once: true });
  }

  #leave(follower: Follower): void {
    this.#followers.delete(follower);
    if (![...this.#followers].some(({ wish }) => wish.streams)) {
      this.#looking?.[Symbol.dispose]();
      this.#looking = undefined;
    }
    if (this.#followers.size > 0) return;
    this.#following?.[Symbol.dispose]();
    this.#following = undefined;
  }

  /** What is new goes to all; what is not kept any more is lost. */
  #tell(): void {
    const { events } = this.#parts;
    if (this.#followers.size === 0) return;
    for (;;) {
      const found = events.after(this.#place, { kinds: ["session", "log"], stream: undefined }, mostEvents);
      if (found.lost) {
        this.#place = events.last;
        return;
      }
      for (const event of found.events) {
        const readers = [...this.#followers].filter(({ wish }) => (event.kind === "log" ? wish.logs : wish.accs) !== undefined);
        const frame = readers.length === 0 ? undefined : frameOf(event);
        for (const { peer } of readers) write(peer, frame);
      }
      if (found.upTo === this.#place) return;
      this.#place = found.upTo;
    }
  }

  /** Streams that are others than a second ago, and those that have gone. */
  #tellStreams(): void {
    const before = this.#streams;
    const present = this.#present();
    this.#streams = present;
    const gone = [...before.keys()].filter((name) => !present.has(name)).map((name) => this.#textOf(name, "offline"));
    const changed = [...present].filter(([name, text]) => before.get(name) !== text).map(([, text]) => text);
    for (const text of [...changed, ...gone]) {
      const frame = textFrame(text);
      for (const { peer, wish } of this.#followers) if (wish.streams) write(peer, frame);
    }
  }

  #present(): ReadonlyMap<string, string> {
    return new Map(this.#parts.directory.list().map(({ name, state }) => [name, this.#textOf(name, state)]));
  }

  #textOf(name: string, state: StreamState): string {
    const { viewers = 0, inputs = 0, outputs = 0 } = this.#parts.sessions.counters(name) ?? {};
    return streamText({ name, viewers, inputs, outputs }, state, this.#parts.streamTags.tagsOf(name));
  }

  /** Who asks, if that is known; wrong credentials are refused. What a browser sends by itself for a foreign page does not count. */
  async #principalOf(request: IncomingMessage): Promise<Principal | undefined> {
    const headers = headersOf(request);
    const { authorization, ...others } = headers;
    const given = authorization !== undefined && (!isForeignPage(headers) || /^bearer\s/i.test(authorization));
    try {
      return await principalOf(request, given ? headers : others, this.#parts, this.#authorizer);
    } catch (error) {
      if (!given && isSluiceError(error, "api.credentials")) return undefined;
      throw error;
    }
  }

  #refuse(socket: Socket, error: unknown): void {
    const known = isSluiceError(error);
    if (!known) this.#parts.log.write("ERROR", `API: ${messageOf(error)}`);
    // A wrong handshake was answered by who found it.
    if (socket.destroyed || socket.writableEnded || (known && error.code === "input.invalid")) return;
    const status = known ? error.status : 500;
    const text = known ? `${error.message}\n` : "The request could not be handled; the log says more.\n";
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n`;
    socket.end(`${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }
}

function write(peer: WebSocketPeer, frame: Uint8Array | undefined): void {
  if (frame && !peer.sink.congested) peer.sink.write(frame);
}

/** The `authorize` member in `["auth", {...}]`; undefined for all other messages. */
function loginOf(data: Uint8Array | string): unknown {
  if (typeof data !== "string") return undefined;
  try {
    const message: unknown = JSON.parse(data);
    return Array.isArray(message) && message[0] === "auth" ? (message[1] ?? {}) : undefined;
  } catch {
    return undefined;
  }
}

function headersOf({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")]),
  );
}
