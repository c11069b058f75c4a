import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { HttpExchange } from "../protocol.ts";
import { type PageAssets, pageStyle } from "./page/markup.ts";

/** A file that the page loads, kept in memory as it is and compressed. */
type Asset = { readonly type: string; readonly bytes: Uint8Array; readonly gzipped: Uint8Array; readonly etag: string };

/** What the player page loads from us. */
export interface Assets {
  /** URLs for the page, each with a mark of its content, so that it can be kept for ever. */
  readonly urls: PageAssets;
  has(path: string): boolean;
  /** Answers a request for `path`, which `has`. */
  send(exchange: HttpExchange, path: string): void;
}

const javascript = "text/javascript; charset=utf-8";

/** Reads the page's script and the two player libraries from their packages; rejects when one is not installed. */
export async function loadAssets(): Promise<Assets> {
  const packages = createRequire(import.meta.url);
  const [script, style, hls, mpegts] = await Promise.all([
    readFile(new URL("./page/player.js", import.meta.url)).then((bytes) => asset(javascript, withoutMap(bytes))),
    asset("text/css; charset=utf-8", Buffer.from(pageStyle)),
    readFile(packages.resolve("hls.js/dist/hls.min.js")).then((bytes) => asset(javascript, withoutMap(bytes))),
    readFile(packages.resolve("mpegts.js")).then((bytes) => asset(javascript, withoutMap(bytes))),
  ]);
  const files: Readonly<Record<string, Asset>> = {
    "/player/page.js": script,
    "/player/page.css": style,
    "/player/hls.js": hls,
    "/player/mpegts.js": mpegts,
  };
  const url = (path: string): string => `${path.slice(1)}?v=${files[path]?.etag.slice(1, 9)}`;
  return {
    urls: {
      script: url("/player/page.js"),
      style: url("/player/page.css"),
      hls: url("/player/hls.js"),
      mpegts: url("/player/mpegts.js"),
    },
    has: (path) => Object.hasOwn(files, path),
    send(exchange, path) {
      const file = files[path];
      if (file) answer(exchange, file);
    },
  };
}

function answer(exchange: HttpExchange, file: Asset): void {
  const marked = exchange.query.v === file.etag.slice(1, 9);
  const headers = {
    "Content-Type": file.type,
    "Cache-Control": marked ? "public, max-age=31536000, immutable" : "public, max-age=3600",
    ETag: file.etag,
    Vary: "Origin, Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
  };
  if (exchange.headers["if-none-match"]?.includes(file.etag)) return exchange.reply(304, headers);
  if (!/\bgzip\b/.test(exchange.headers["accept-encoding"] ?? "")) return exchange.reply(200, headers, file.bytes);
  exchange.reply(200, { ...headers, "Content-Encoding": "gzip" }, file.gzipped);
}

async function asset(type: string, bytes: Uint8Array): Promise<Asset> {
  const etag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
  return { type, bytes, gzipped: await promisify(gzip)(bytes), etag };
}

/** The source map is not served: a browser's tools would only log an error for it. */
function withoutMap(bytes: Buffer): Uint8Array {
  return Buffer.from(bytes.toString().replace(/\n\/\/# sourceMappingURL=\S+\s*$/, "\n"));
}
