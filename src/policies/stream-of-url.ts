import { streamName } from "../base/stream-name.ts";

/**
 * The stream that an address of this server is about, as viewers write it: `/hls/NAME/...`, `/cmaf/NAME/...`, `/NAME.flv`, `/NAME.html`,
 * `/json_NAME.js`, `rtmp://HOST/play/NAME`. Undefined for an address without one.
 */
export function streamOfUrl(url: URL): string | undefined {
  const path = decode(url.pathname);
  const found =
    /^\/(?:hls|cmaf)\/(.+?)\/(?:[^/]+)$/.exec(path)?.[1] ??
    /^\/(?:json|info|embed)_(.+)\.js$/.exec(path)?.[1] ??
    /^\/(.+)\.(?:flv|mp4|ts|html|smil)$/.exec(path)?.[1] ??
    (url.protocol.startsWith("rtmp") ? /^\/[^/]+\/(.+)$/.exec(path)?.[1] : undefined) ??
    (url.protocol.startsWith("srt") ? (url.searchParams.get("streamid") ?? undefined) : undefined);
  const name = found === undefined ? "" : streamName(found);
  return name === "" ? undefined : name;
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
