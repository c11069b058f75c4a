import type { Protocol } from "../protocols/protocol.ts";
import type { ConnectorEntry, Settings } from "./settings.ts";

type Ports = Pick<Settings, "connectors" | "httpHost" | "httpPort" | "https" | "rtmpHost" | "rtmpPort">;

/** The configured list of connectors; if there is none, everything that Sluice has. */
export function connectorEntries(settings: Ports, protocols: readonly Protocol[]): readonly ConnectorEntry[] {
  const { connectors, httpHost, httpPort, https, rtmpHost, rtmpPort } = settings;
  if (connectors !== undefined) return connectors;
  const outputs = protocols.filter(({ serve }) => serve !== undefined).map(({ connector }) => connector);
  const others = outputs.filter((connector) => connector !== "HTTP" && connector !== "RTMP");
  return [
    { connector: "HTTP", interface: httpHost, port: httpPort },
    ...(https ? [{ connector: "HTTPS", interface: https.host ?? httpHost, port: https.port, cert: https.cert, key: https.key }] : []),
    { connector: "RTMP", interface: rtmpHost, port: rtmpPort },
    ...[...new Set(others)].map((connector) => ({ connector })),
  ];
}
