import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Socket } from "node:net";
import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";
import type { Connection, HttpExchange, Listener, WatchAddress } from "../protocols/protocol.ts";
import type { Peer, Peers, Stage } from "./arrival.ts";
import { createExchange, type TrackedExchange } from "./http-exchange.ts";
import { type ParsedRequest, parseRequest } from "./http-request.ts";
import { errorAnswer, plainText, responseHead } from "./http-response.ts";
import { listen } from "./listen.ts";
import type { TrustedProxies } from "./peer-address.ts";
import { endGently } from "./socket-sink.ts";
import { keepAliveMs, origin } from "./tcp.ts";
import { createWebSocketAcceptor } from "./websocket-peer.ts";

/** A route whose match type is known only to itself. */
export type Route = {
  readonly protocol: string;
  /** Gives what handles the request, or undefined. */
  readonly find: (path: string) => ((exchange: HttpExchange) => Promise<void>) | undefined;
};

export type HttpServerOptions = {
  readonly port: number;
  readonly address: string;
  /** How the port is chosen, for the message when it cannot be opened: `--http-port`. */
  readonly option: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly proxies: TrustedProxies;
  readonly peers: Peers;
  readonly stages: readonly Stage[];
  readonly nextId: () => number;
  /** Read at each request. */
  readonly routes: readonly Route[];
  /** For the answer to an address that nobody knows. */
  readonly watchAddresses: () => readonly WatchAddress[];
};

/** Limits that no honest client meets: a whole head within 10 s and 16 KiB, a whole request within 30 s, 16 requests sent ahead. */
const limits = { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16 * 1024, ahead: 16 } as const;
/** MistServer closes a connection without requests after 60 s. */
const idleMs = 60_000;
/** Milliseconds without a byte in either direction while a request is open; endless answers have a limit of their own (the pump's). */
const silenceMs = 120_000;

/** What is known of a socket over all of its requests. */
type Transport = {
  readonly connection: Connection;
  readonly peer: Peer;
  /** True when the socket belongs to an endless answer or a WebSocket. */
  taken: boolean;
  /** Requests that were sent before the answer to the one before them; they wait for their turn. */
  readonly queue: (() => void)[];
  busy: boolean;
};

/** The media port: finds the route, turns what it throws into an answer, and lets one bad client hurt nobody but itself. */
export function listenHttp(options: HttpServerOptions): Promise<Listener> {
  const { log, clock, proxies, peers } = options;
  const acceptWebSocket = createWebSocketAcceptor(clock);
  const transports = new WeakMap<Socket, Transport>();
  const server = createServer({
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    keepAliveTimeout: idleMs,
    headersTimeout: limits.headersTimeout,
    requestTimeout: limits.requestTimeout,
    maxHeaderSize: limits.maxHeaderSize,
    connectionsCheckingInterval: 2000,
    // Other upgrades (h2c) are optional for the server: such a request is answered as it stands (RFC 9110 section 7.8).
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === "websocket",
  });

  const transportOf = (socket: Socket): Transport => {
    const known = transports.get(socket);
    if (known) return known;
    const controller = new AbortController();
    socket.once("close", () => controller.abort());
    if (socket.destroyed) controller.abort();
    const connection = { id: options.nextId(), signal: controller.signal };
    const transport = { connection, peer: peers.of(socket), taken: false, queue: [], busy: false };
    transports.set(socket, transport);
    return transport;
  };

  const serve = async (request: IncomingMessage, socket: Socket, response?: ServerResponse, head?: Uint8Array): Promise<void> => {
    const transport = transportOf(socket);
    const onTakeover = (): void => {
      transport.taken = true;
      socket.setTimeout(0);
    };
    const wire = {
      request,
      socket,
      clock,
      connection: transport.connection,
      acceptWebSocket,
      onTakeover,
    };
    let exchange: TrackedExchange | undefined;
    let protocol = "HTTP";
    try {
      const parsed = parseRequest(request, transport.peer, proxies);
      exchange = createExchange(parsed, { ...wire, ...(response && { response }), ...(head && { head }) });
      if (parsed.method === "OPTIONS") return exchange.reply(204, {});
      for (const route of options.routes) {
        const handle = route.find(parsed.path);
        if (handle === undefined) continue;
        protocol = route.protocol;
        await handle(exchange);
        if (!exchange.answered) throw new Error("the route gave no answer");
        return;
      }
      throw new SluiceError("access.unknown", unknownAddress(options.watchAddresses()));
    } catch (error) {
      exchange ??= createExchange(unparsed(request, transport.peer), { ...wire, ...(response && { response }), ...(head && { head }) });
      if (!isSluiceError(error)) {
        log.write("ERROR", `${protocol} request failed: ${messageOf(error)}`, { address: exchange.address, at: origin(error) });
      }
      if (exchange.answered) {
        if (transport.taken) socket.destroy();
      } else {
        const { status, headers, body } = errorAnswer(isSluiceError(error) ? error : undefined);
        exchange.reply(status, headers, body);
      }
    }
  };

  // A reader that takes nothing of its answer, or a handler that never gives one.
  server.setTimeout(silenceMs);

  server.on("request", (request, response) => {
    const { socket } = request;
    const transport = transportOf(socket);
    const start = (): void => {
      transport.busy = true;
      response.once("close", () => {
        transport.busy = false;
        if (!socket.destroyed) transport.queue.shift()?.();
      });
      void serve(request, socket, response);
    };
    if (!transport.busy) start();
    else if (transport.taken || transport.queue.length >= limits.ahead) socket.destroy();
    else transport.queue.push(start);
  });

  server.on("upgrade", (request: IncomingMessage, duplex: Duplex, head: Uint8Array) => {
    if (!(duplex instanceof Socket)) return void duplex.destroy();
    duplex.on("error", () => {}); // "close" follows
    if (transportOf(duplex).busy) return void duplex.destroy();
    void serve(request, duplex, undefined, head);
  });

  server.on("clientError", (error: Error & { code?: string }, duplex: Duplex) => {
    if (!(duplex instanceof Socket) || duplex.destroyed) return;
    const taken = transports.get(duplex)?.taken ?? false;
    // A reset is how networks end connections; bytes behind a request that is being streamed are of no interest.
    if (error.code === "ECONNRESET" || error.code === "EPIPE" || taken) return void duplex.destroy();
    if (!duplex.writable || duplex.writableEnded) return;
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
    const silent = error.code === "ERR_HTTP_REQUEST_TIMEOUT" && duplex.bytesRead === 0;
    if (!silent) log.write("WARN", `HTTP connection closed: ${error.message}`, { address: peers.of(duplex).address });
    const body =
      status === 431
        ? `the request's head is longer than ${limits.maxHeaderSize} bytes\n`
        : `this is no HTTP/1.1 request that can be answered\n`;
    if (silent) return void duplex.destroy();
    duplex.write(responseHead(status, { ...plainText, "Content-Length": String(body.length), Connection: "close" }) + body, "latin1");
    endGently(duplex, clock);
  });

  return listen(server, { port: options.port, address: options.address, option: options.option, log, stages: options.stages });
}

/** Enough of a request that could not be parsed to answer it. */
function unparsed(request: IncomingMessage, { address, tls }: Peer): ParsedRequest {
  const url = new URL("http://localhost/");
  return { method: request.method ?? "GET", url, path: "/", query: {}, headers: {}, cookies: {}, address, tls };
}

function unknownAddress(addresses: readonly WatchAddress[]): string {
  const paths = addresses.filter(({ scheme }) => scheme !== "rtmp").map(({ path }) => path.replaceAll("$", "NAME"));
  const known = [...new Set(["/NAME.html", "/json_NAME.js", ...paths.map((path) => (path.startsWith("/") ? path : `/${path}`))])];
  return `nothing is at this address; there are ${known.join(", ")}`;
}
