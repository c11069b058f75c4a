import { getCACertificates } from "node:tls";
import { Agent, type Dispatcher, EnvHttpProxyAgent } from "undici";

/** Connections to handlers: kept between calls, through the proxies that the environment names. Dispose ends them. */
export interface HttpAgents extends AsyncDisposable {
  /** `ca`: certificates in PEM that are trusted beside Node's own and those of `NODE_EXTRA_CA_CERTS`. */
  for(ca: string | undefined): Dispatcher;
}

type Environment = Readonly<Record<string, string | undefined>>;

const connectMs = 3000;
/** As in other programs that read these variables: what runs on this machine needs no proxy. */
const never = "localhost,127.0.0.1,[::1]";

/** Reads `http_proxy`, `https_proxy` and `no_proxy` (or in capitals) once. */
export function createHttpAgents(environment: Environment = process.env): HttpAgents {
  const agents = new Map<string | undefined, Dispatcher>();
  const variable = (name: string): string | undefined => environment[name] || environment[name.toUpperCase()] || undefined;
  const httpProxy = variable("http_proxy");
  const httpsProxy = variable("https_proxy");
  const noProxy = [variable("no_proxy"), never].filter((list) => list !== undefined).join(",");
  const create = (ca: string | undefined): Dispatcher => {
    const trust = ca === undefined ? {} : { ca: [...getCACertificates("default"), ca] };
    const options = {
      connections: 128,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: 10_000,
      // The caller's signal is the only limit.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: connectMs, ...trust },
    } as const;
    if (httpProxy === undefined && httpsProxy === undefined) return new Agent(options);
    // An empty text is none, and keeps the agent from reading the environment itself.
    return new EnvHttpProxyAgent({
      ...options,
      requestTls: trust,
      proxyTls: trust,
      httpProxy: httpProxy ?? "",
      httpsProxy: httpsProxy ?? "",
      noProxy,
    });
  };
  return {
    for(ca) {
      let agent = agents.get(ca);
      if (!agent) agents.set(ca, (agent = create(ca)));
      return agent;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
    },
  };
}
