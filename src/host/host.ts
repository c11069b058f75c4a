import type { Host, Listener } from "../protocols/protocol.ts";
import { type Route, listenHttp } from "./http-server.ts";
import { createTrustedProxies } from "./peer-address.ts";
import { listenTcp } from "./tcp.ts";

/** What the composition root hands in. */
export type HostOptions = Pick<Host, "publish" | "play" | "watchAddresses" | "clock" | "log"> & {
  /** Address that every port listens on unless a protocol asks for another. */
  readonly listenAddress: string;
  /** 0 lets the system choose. */
  readonly httpPort: number;
  /** Addresses, CIDR ranges and host names of proxies whose `X-Forwarded-For` counts; read at each request. Loopback is trusted always. */
  readonly trustedProxies: () => readonly string[];
};

/** The real host. Disposing it closes every port that is still open. */
export type RunningHost = Host &
  AsyncDisposable & {
    /** Opens the media port; call when the routes are registered. Rejects with "listen.failed". */
    listenHttp(): Promise<Listener>;
  };

/** Node's sockets, HTTP server and clock behind the contract that protocols know. */
export function createHost(options: HostOptions): RunningHost {
  const { log, clock, listenAddress } = options;
  const listeners = new Set<Listener>();
  const routes: Route[] = [];
  let lastId = 0;
  const nextId = (): number => ++lastId;

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
    watchAddresses: options.watchAddresses,
    clock,
    log,
    tcp: ({ protocol, port, host }, serve) =>
      keep(listenTcp({ protocol, port, address: host ?? listenAddress, log, clock, nextId }, serve)),
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
      keep(
        listenHttp({
          port: options.httpPort,
          address: listenAddress,
          log,
          clock,
          proxies: createTrustedProxies(options.trustedProxies),
          nextId,
          routes,
          watchAddresses: options.watchAddresses,
        }),
      ),
    async [Symbol.asyncDispose]() {
      await Promise.all([...listeners].map((listener) => listener[Symbol.asyncDispose]()));
    },
  };
}
