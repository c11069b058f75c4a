import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { SluiceError } from "../base/errors.ts";
import type { Sink } from "../base/sink.ts";
import type { Clock } from "../base/time.ts";
import type { WebSocketPeer } from "../protocols/protocol.ts";
import { type Headers, safeHeaders } from "./http-response.ts";
import { createSocketSink, lingerMs } from "./socket-sink.ts";

/** Milliseconds between pings; a peer that has not answered one before the next is gone. */
const pingMs = 30_000;
/** Viewers have little to say; bytes of one message. */
const maxMessage = 64 * 1024;

/** Accepts WebSockets: `ws` does the handshake, pings and closing, media frames go to the socket as they are. */
export type WebSocketAcceptor = (request: IncomingMessage, socket: Socket, head: Uint8Array, headers: Headers) => WebSocketPeer;

export function createWebSocketAcceptor(clock: Clock): WebSocketAcceptor {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxMessage, clientTracking: false });
  return (request, socket, head, headers) => {
    const extra = Object.entries(safeHeaders(headers)).map(([name, value]) => `${name}: ${value}`);
    const addHeaders = (lines: string[]): void => void lines.push(...extra);
    let accepted: WebSocket | undefined;
    // Both happen before handleUpgrade returns; when the handshake is wrong it has answered 400 itself.
    server.once("headers", addHeaders);
    server.handleUpgrade(request, socket, Buffer.from(head), (peer) => {
      accepted = peer;
    });
    server.off("headers", addHeaders);
    if (accepted === undefined) throw new SluiceError("input.invalid", "the WebSocket handshake is wrong (RFC 6455 section 4.2.1)");
    return createPeer(accepted, socket, clock);
  };
}

function createPeer(peer: WebSocket, socket: Socket, clock: Clock): WebSocketPeer {
  const raw = createSocketSink(socket, clock);
  const controller = new AbortController();
  let alive = true;
  const finish = (): void => controller.abort();
  peer.on("error", () => {}); // a frame that RFC 6455 forbids; "close" follows
  peer.on("close", finish);
  peer.on("pong", () => {
    alive = true;
  });
  const pings = clock.every(pingMs, () => {
    if (!alive) return peer.terminate();
    alive = false;
    peer.ping();
  });
  controller.signal.addEventListener("abort", () => pings[Symbol.dispose](), { once: true });
  // A close frame of the peer ends our writing: nothing may follow the answer to it.
  const open = (): boolean => peer.readyState === peer.OPEN;
  const close = (code: number, reason: string): void => {
    if (open()) {
      peer.close(code, shortened(reason));
      const linger = clock.after(lingerMs, () => peer.terminate());
      peer.once("close", () => linger[Symbol.dispose]());
    }
    finish();
  };
  const sink: Sink = {
    write(bytes) {
      if (open()) raw.write(bytes);
    },
    get congested() {
      return raw.congested;
    },
    onDrained: raw.onDrained,
    end: () => close(1000, ""),
    signal: controller.signal,
  };
  return {
    sink,
    sendText(text) {
      if (open()) peer.send(text);
    },
    close,
    onMessage(run) {
      peer.on("message", (data, isBinary) => {
        const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : Array.isArray(data) ? Buffer.concat(data) : data;
        run(isBinary ? bytes : new TextDecoder().decode(bytes));
      });
    },
  };
}

/** RFC 6455 section 5.5: a control frame holds at most 125 bytes, two of them the code. */
function shortened(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  return bytes.length <= 123 ? reason : new TextDecoder().decode(bytes.subarray(0, 123)).replace(/\ufffd+$/, "");
}
