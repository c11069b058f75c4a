import type { Server, Socket } from "node:net";
import type { Host, Listener, PublicStreams } from "../protocols/protocol.ts";
import { type Route, listenHttp } from "./http-server.ts";
import { Peers, proxyStage, type Stage } from "./arrival.ts";
import { Certificate, type CertificateFiles } from "./certificate.ts";
import { listen } from "./listen.ts";
import { createTrustedProxies } from "./peer-address.ts";
import { listenTcp } from "./tcp.ts";
import { tlsStage } from "./tls.ts";

/** What the composition root hands in. */
export type HostOptions = Pick<Host, "publish" | "play" | "renew" | "watchAddresses" | "clock" | "log"> & {
  /** Address that every port listens on unless a protocol asks for another. */
  readonly listenAddress: string;
  /** 0 lets the system choose. */
  readonly httpPort: number;
  /** Addresses, CIDR ranges and host names of proxies whose `X-Forwarded-For` counts; read at each request. Loopback is trusted always. */
  readonly trustedProxies: () => readonly string[];
  /** True while connections from trusted proxies may begin with a PROXY header; asked at each connection. */
  readonly proxyProtocol: () => boolean;
  /** Left out: there is no public list. */
  readonly live?: PublicStreams;
};

const nothingPublic: PublicStreams = {
  streams: () => undefined,
  mostReaders: 0,
  onChange: () => ({ [Symbol.dispose]: () => {} }),
  onStream: () => ({ [Symbol.dispose]: () => {} }),
};

/** The port for HTTPS, and what it shows to clients. */
export type HttpsOptions = CertificateFiles & { readonly port: number; readonly host: string };

/** An open port for HTTPS whose certificate can be exchanged. */
export interface HttpsListener extends Listener {
  /** Looks at the files at once; they may be other ones from now on. What cannot be used is logged, and changes nothing. */
  refresh(files: CertificateFiles): void;
}

/** The real host. Disposing it closes every port that is still open. */
export type RunningHost = Host &
  AsyncDisposable & {
    /** Opens the media port; call when the routes are registered. Rejects with "listen.failed". */
    listenHttp(): Promise<Listener>;
    /** Opens a port where the same is served over TLS. Rejects with "config.invalid" for files that cannot be used, and with "listen.failed". */
    listenHttps(options: HttpsOptions): Promise<HttpsListener>;
    /** Opens the port of a server that somebody else made; PROXY headers are taken up there, too. */
    open(
      server: Server,
      options: { readonly name: string; readonly address: string; readonly port: number; readonly option: string },
    ): Promise<Listener>;
    /** Who is at the other end of a socket of such a server. */
    peerAddress(socket: Socket): string;
  };

/** Node's sockets, HTTP server and clock behind the contract that protocols know. */
export function createHost(options: HostOptions): RunningHost {
  const { log, clock, listenAddress } = options;
  const listeners = new Set<Listener>();
  const routes: Route[] = [];
  let lastId = 0;
  const nextId = (): number => ++lastId;
  const peers = new Peers();
  const proxies = createTrustedProxies(options.trustedProxies);
  const proxied = (name: string): Stage => proxyStage({ name, enabled: options.proxyProtocol, proxies, peers, clock, log });
  const http = { log, clock, proxies, peers, nextId, routes, watchAddresses: options.watchAddresses };

  const keep = async (opening: Promise<Listener>): Promise<Listener> => {
    const listener = await opening;
    const kept: Listener = {
      port: listener.port,
      stopListening: () => listener.stopListening(),
      async [Symbol.asyncDispose]() {
        if (!listeners.delete(kept)) return;
        await listener[Symbol.asyncDispose]();
      },
    };
    listeners.add(kept);
    return kept;
  };

  return {
    publish: options.publish,
    play: options.play,
    renew: options.renew,
    watchAddresses: options.watchAddresses,
    live: options.live ?? nothingPublic,
    clock,
    log,
    tcp: ({ protocol, port, host }, serve) =>
      keep(listenTcp({ protocol, port, address: host ?? listenAddress, log, clock, nextId, peers, stages: [proxied(protocol)] }, serve)),
    http(route) {
      const entry: Route = {
        protocol: route.protocol,
        find(path) {
          const match = route.match(path);
          return match === undefined ? undefined : (exchange) => route.handle(exchange, match);
        },
      };
      routes.push(entry);
      return {
        [Symbol.dispose]: () => {
          const at = routes.indexOf(entry);
          if (at >= 0) routes.splice(at, 1);
        },
      };
    },
    listenHttp: () =>
      keep(listenHttp({ ...http, port: options.httpPort, address: listenAddress, option: "--http-port", stages: [proxied("HTTP")] })),
    async listenHttps({ port, host, ...files }) {
      const certificate = new Certificate(files, { clock, log });
      const secured = tlsStage({ name: "HTTPS", context: () => certificate.context, peers, clock, log });
      try {
        const listener = await keep(
          listenHttp({ ...http, port, address: host, option: "https.port =", stages: [proxied("HTTPS"), secured] }),
        );
        return {
          port: listener.port,
          stopListening: () => listener.stopListening(),
          refresh: (next) => certificate.refresh(next),
          async [Symbol.asyncDispose]() {
            certificate[Symbol.dispose]();
            await listener[Symbol.asyncDispose]();
          },
        };
      } catch (error) {
        certificate[Symbol.dispose]();
        throw error;
      }
    },
    open: (server, { name, address, port, option }) => listen(server, { address, port, option, log, stages: [proxied(name)] }),
    peerAddress: (socket) => peers.of(socket).address,
    async [Symbol.asyncDispose]() {
      await Promise.all([...listeners].map((listener) => listener[Symbol.asyncDispose]()));
    },
  };
}
