import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Sink } from "../base/sink.ts";
import type { Clock } from "../base/time.ts";
import type { Connection, HttpExchange } from "../protocols/protocol.ts";
import { readBody } from "./http-body.ts";
import type { ParsedRequest } from "./http-request.ts";
import { corsHeaders, type Headers, preflightHeaders, responseHead, safeHeaders } from "./http-response.ts";
import { createSocketSink, endGently } from "./socket-sink.ts";
import type { WebSocketAcceptor } from "./websocket-peer.ts";

/** Where an answer goes: through Node's response, or, for a request that asked for an upgrade, straight to the socket. */
export type Transport = {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  readonly clock: Clock;
  readonly connection: Connection;
  /** Absent for an upgrade request: Node has let go of the socket. */
  readonly response?: ServerResponse;
  /** What came behind the head of an upgrade request. */
  readonly head?: Uint8Array;
  readonly acceptWebSocket: WebSocketAcceptor;
  /** Called when the socket is no longer one for requests. */
  readonly onTakeover: () => void;
};

/** An exchange whose host can see whether it was answered. */
export type TrackedExchange = HttpExchange & { readonly answered: boolean };

export function createExchange(parsed: ParsedRequest, transport: Transport): TrackedExchange {
  const { socket, response, clock } = transport;
  const cors = corsHeaders(parsed.headers.origin);
  // What is the same for everybody says so itself: no credentials, and nothing for caches to tell apart.
  const withCors = (headers: Headers): Headers => ("Access-Control-Allow-Origin" in headers ? headers : { ...cors, ...headers });
  let answered = false;
  const answer = (): boolean => {
    const first = !answered;
    answered = true;
    return first;
  };
  return {
    ...parsed,
    connection: transport.connection,
    wantsUpgrade: response === undefined && parsed.headers.upgrade?.toLowerCase() === "websocket",
    get answered() {
      return answered;
    },
    body: (most) => readBody(transport.request, most),
    reply(status, headers, body = "") {
      if (!answer()) return;
      const bytes = typeof body === "string" ? Buffer.from(body) : body;
      const all: Record<string, string> = { ...withCors(headers) };
      if (parsed.method === "OPTIONS") Object.assign(all, preflightHeaders(parsed.headers["access-control-request-headers"]));
      // RFC 9110 section 8.6: no length where there can be no body.
      if (status !== 204 && status !== 304) all["Content-Length"] ??= String(bytes.length);
      const sent = parsed.method === "HEAD" || status === 204 || status === 304 ? Buffer.alloc(0) : bytes;
      if (response) {
        // A body that nobody reads would be taken for the next request's bytes by a proxy: end the connection instead.
        if (hasBody(parsed.headers) && !transport.request.complete) response.shouldKeepAlive = false;
        response.writeHead(status, safeHeaders(all));
        response.end(sent);
      } else {
        socket.write(responseHead(status, { ...all, Connection: "close" }), "latin1");
        socket.write(sent);
        endGently(socket, clock);
      }
    },
    stream(status, headers): Sink {
      const sink = createSocketSink(socket, clock);
      if (!answer()) return sink;
      transport.onTakeover();
      // Head, container header and first chunks leave in one packet and one system call.
      socket.cork();
      process.nextTick(() => socket.uncork());
      socket.write(responseHead(status, { ...withCors(headers), Connection: "close" }), "latin1");
      if (parsed.method === "HEAD") sink.end();
      return sink;
    },
    upgrade(headers = {}) {
      answer();
      transport.onTakeover();
      return transport.acceptWebSocket(transport.request, socket, transport.head ?? new Uint8Array(0), { ...cors, ...headers });
    },
  };
}

function hasBody(headers: Headers): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}
