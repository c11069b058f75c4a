import { SluiceError } from "../../base/errors.ts";
import { flvFormat } from "../../containers/flv/muxer.ts";
import { defineProtocol, type Host } from "../protocol.ts";
import { playFlv } from "./play.ts";
import { overWebSocket } from "./websocket-format.ts";

/** FLV without end over HTTP and, at the same address, over a WebSocket: the lowest latency that plain HTTP has. */
export const flv = defineProtocol({
  name: "flv",
  connector: "FLV",
  description: "FLV over HTTP and WebSocket, with enhanced FourCC codecs",
  codecs: { publish: [], play: flvFormat.codecs },
  watch: [
    { type: "flash/7", hrn: "FLV progressive", scheme: "http", path: "/$.flv", priority: 5 },
    { type: "ws/video/x-flv", hrn: "FLV over WebSocket", scheme: "ws", path: "/$.flv", priority: 4 },
  ],
  parseOptions,
  async serve(host: Host): Promise<AsyncDisposable> {
    const formats = { http: flvFormat, webSocket: overWebSocket(flvFormat) };
    const route = host.http({
      protocol: "FLV",
      match: (path) => /^\/([^/]+)\.flv$/s.exec(path)?.[1],
      handle: (exchange, name) => playFlv(host, exchange, name, formats),
    });
    return { [Symbol.asyncDispose]: async () => route[Symbol.dispose]() };
  },
});

function parseOptions(value: unknown): object {
  const unknown = Object.keys(value ?? {})[0];
  if (unknown !== undefined) throw new SluiceError("config.invalid", `flv.${unknown} is not an option; flv has none`);
  return {};
}
