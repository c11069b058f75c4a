import { createHmac, randomBytes } from "node:crypto";
import { SluiceError } from "../../base/errors.ts";
import { defineProtocol } from "../protocol.ts";
import { serveConnection } from "./connection.ts";
import { createRtmpFormat } from "./format.ts";
import type { HandshakeCrypto } from "./wire/handshake.ts";

/** Where RTMP listens. */
export type RtmpOptions = { readonly port: number; readonly host?: string };

const handshakeCrypto: HandshakeCrypto = {
  hmacSha256: (key, data) => createHmac("sha256", key).update(data).digest(),
  randomBytes: (length) => randomBytes(length),
};

const codecs = {
  publish: ["h264", "hevc", "av1", "vp9", "vp8", "aac", "mp3", "opus", "ac3", "flac"],
  play: ["h264", "hevc", "av1", "vp9", "vp8", "aac", "mp3", "opus", "ac3", "flac"],
} as const;

/** RTMP 1.0 and enhanced RTMP v2 over TCP: publishing and playing. */
export const rtmp = defineProtocol<RtmpOptions>({
  name: "rtmp",
  connector: "RTMP",
  description: "RTMP and enhanced RTMP: encoders publish to rtmp://HOST/live/NAME, players open rtmp://HOST/play/NAME.",
  codecs,
  watch: [{ type: "flash/10", hrn: "RTMP", scheme: "rtmp", path: "/play/$", priority: 7 }],
  parseOptions,
  serve: (host, options) => {
    const format = createRtmpFormat();
    return host.tcp({ protocol: "RTMP", ...options }, (tcp) => serveConnection(tcp, { host, crypto: handshakeCrypto, format }));
  },
});

function parseOptions(value: unknown): RtmpOptions {
  const { port = 1935, host, ...others } = (value ?? {}) as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) throw new SluiceError("config.invalid", `rtmp.${unknown} is not an option; rtmp has "port" and "host"`);
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new SluiceError("config.invalid", `rtmp.port is ${JSON.stringify(port)}; it must be a port number from 0 to 65535`);
  if (host !== undefined && typeof host !== "string")
    throw new SluiceError("config.invalid", `rtmp.host is ${JSON.stringify(host)}; it must be an address as text`);
  return { port, ...(host === undefined ? {} : { host }) };
}
