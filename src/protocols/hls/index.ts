import { SluiceError } from "../../base/errors.ts";
import { defineProtocol } from "../protocol.ts";
import { hlsCodecs } from "./packager.ts";
import { parseHlsPath } from "./address.ts";
import { type HlsOptions, HlsPlayer } from "./play.ts";

const defaults: HlsOptions = { segmentWindow: 8, startWaitMs: 20_000, tokenIn: "query", sharedSegments: false };

/** What each option takes, in words for people. A player needs three segments ahead (RFC 8216 6.2.2). */
const options: { readonly [K in keyof HlsOptions]: { readonly takes: (value: unknown) => boolean; readonly words: string } } = {
  segmentWindow: between(3, 1000),
  startWaitMs: between(0, 120_000),
  tokenIn: { takes: (value) => value === "query" || value === "path", words: '"query" or "path"' },
  sharedSegments: { takes: (value) => typeof value === "boolean", words: "true or false" },
};

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
  const result: Record<string, unknown> = { ...defaults };
  for (const [name, given] of Object.entries(value)) {
    if (!isOption(name)) throw wrong(`.${name}`, `is no option of HLS; there are ${Object.keys(options).join(", ")}`);
    if (given === undefined) continue;
    const { takes, words } = options[name];
    if (!takes(given)) throw wrong(`.${name}`, `is ${JSON.stringify(given)}; ${words} was expected`);
    result[name] = given;
  }
  return result as HlsOptions;
}

function between(least: number, most: number) {
  const takes = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
  return { takes, words: `a whole number from ${least} to ${most}` };
}

function isOption(name: string): name is keyof HlsOptions {
  return Object.hasOwn(options, name);
}

function wrong(field: string, text: string): SluiceError {
  return new SluiceError("config.invalid", `protocols.hls${field} ${text}`);
}
