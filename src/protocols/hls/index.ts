import { SluiceError } from "../../base/errors.ts";
import { defineProtocol } from "../protocol.ts";
import { hlsCodecs } from "./packager.ts";
import { type HlsOptions, HlsPlayer, parseHlsPath } from "./play.ts";

const defaults: HlsOptions = { segmentWindow: 8, startWaitMs: 20_000 };
/** Least and most of each option. A player needs three segments ahead (RFC 8216 6.2.2). */
const limits: Readonly<Record<keyof HlsOptions, readonly [number, number]>> = { segmentWindow: [3, 1000], startWaitMs: [0, 120_000] };

/** HLS with MPEG-TS segments (RFC 8216): live as a rolling window, files as a whole. */
export const hls = defineProtocol<HlsOptions>({
  name: "hls",
  connector: "HLS",
  description: "HLS with MPEG-TS segments: plays in every browser and on every phone, a few segments behind live.",
  codecs: { publish: [], play: hlsCodecs },
  watch: [{ type: "html5/application/vnd.apple.mpegurl", hrn: "HLS (TS)", scheme: "http", path: "/hls/$/index.m3u8", priority: 9 }],
  parseOptions,
  serve: async (host, options) => {
    const player = new HlsPlayer(host, options);
    const route = host.http({ protocol: "hls", match: parseHlsPath, handle: (exchange, path) => player.play(exchange, path) });
    return { [Symbol.asyncDispose]: async () => route[Symbol.dispose]() };
  },
});

function parseOptions(value: unknown): HlsOptions {
  if (value === undefined || value === null) return defaults;
  if (typeof value !== "object") throw wrong("", `is ${JSON.stringify(value)}; an object was expected`);
  const options: Record<keyof HlsOptions, number> = { ...defaults };
  for (const [name, given] of Object.entries(value)) {
    if (!isOption(name)) throw wrong(`.${name}`, `is no option of HLS; there are ${Object.keys(limits).join(", ")}`);
    const [least, most] = limits[name];
    if (given === undefined) continue;
    if (!Number.isInteger(given) || given < least || given > most)
      throw wrong(`.${name}`, `is ${JSON.stringify(given)}; a whole number from ${least} to ${most} was expected`);
    options[name] = given;
  }
  return options;
}

function isOption(name: string): name is keyof HlsOptions {
  return Object.hasOwn(limits, name);
}

function wrong(field: string, text: string): SluiceError {
  return new SluiceError("config.invalid", `protocols.hls${field} ${text}`);
}
