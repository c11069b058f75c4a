import { request } from "node:http";

/** A plain HTTP client that opened an endless answer. */
export interface HttpViewer extends Disposable {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes received so far, and the time between the latest two arrivals at most, ms. */
  readonly received: () => number;
  readonly longestGapMs: () => number;
  /** The first bytes, at most 64 KiB. */
  readonly start: () => Buffer;
  /** Resolves when so many bytes have come; rejects when the answer ends before. */
  atLeast(bytes: number, timeoutMs?: number): Promise<void>;
  readonly closed: Promise<void>;
  /** Milliseconds from the request to the answer's head and to its first body byte. */
  readonly headMs: number;
  readonly firstByteMs: () => number | undefined;
}

/** Opens `url` and resolves with the answer's head. */
export function view(url: string, headers: Readonly<Record<string, string>> = {}): Promise<HttpViewer> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(url, { headers, agent: false }, (response) => {
      let received = 0;
      let last = performance.now();
      let gap = 0;
      let firstByteMs: number | undefined;
      const head: Buffer[] = [];
      let headLength = 0;
      const waiting = new Set<() => void>();
      let ended = false;
      response.on("data", (chunk: Buffer) => {
        const now = performance.now();
        firstByteMs ??= now - begun;
        if (received > 0) gap = Math.max(gap, now - last);
        last = now;
        received += chunk.length;
        if (headLength < 65_536) {
          head.push(Buffer.from(chunk));
          headLength += chunk.length;
        }
        for (const look of waiting) look();
      });
      const closed = new Promise<void>((done) => {
        response.once("close", () => {
          ended = true;
          for (const look of waiting) look();
          done();
        });
      });
      response.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        received: () => received,
        longestGapMs: () => Math.max(gap, ended ? 0 : performance.now() - last),
        start: () => Buffer.concat(head).subarray(0, 65_536),
        atLeast: (bytes, timeoutMs = 20_000) =>
          new Promise((done, fail) => {
            const settle = (finish: () => void): void => {
              waiting.delete(look);
              clearTimeout(timer);
              finish();
            };
            const look = (): void => {
              if (received >= bytes) settle(done);
              else if (ended)
                settle(() =>
                  fail(
                    new Error(
                      `the answer ended after ${received} of ${bytes} bytes: ${Buffer.concat(head).toString("utf8").slice(0, 200)}`,
                    ),
                  ),
                );
            };
            const timer = setTimeout(
              () => settle(() => fail(new Error(`${received} of ${bytes} bytes within ${timeoutMs} ms`))),
              timeoutMs,
            );
            waiting.add(look);
            look();
          }),
        closed,
        headMs: performance.now() - begun,
        firstByteMs: () => firstByteMs,
        [Symbol.dispose]: () => void call.destroy(),
      });
    });
    call.once("error", reject);
    call.end();
  });
}

/** Fetches a whole answer as text. */
export async function get(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const response = await fetch(url, { headers });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

/** Reads an HLS address the way a player does: master, media playlist, newest segments; keeps the server's token. */
export async function hlsSegments(url: string, count = 1): Promise<{ playlists: string[]; segments: { url: string; bytes: Buffer }[] }> {
  const master = await get(url);
  if (master.status !== 200) throw new Error(`${url}: ${master.status} ${master.text}`);
  const playlists = [master.text];
  const child = firstUri(master.text);
  const mediaUrl = new URL(child, url).href;
  const media = await get(mediaUrl);
  if (media.status !== 200) throw new Error(`${mediaUrl}: ${media.status} ${media.text}`);
  playlists.push(media.text);
  const uris = media.text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
  const segments: { url: string; bytes: Buffer }[] = [];
  for (const uri of uris.slice(-count)) {
    const segmentUrl = new URL(uri, mediaUrl).href;
    const response = await fetch(segmentUrl);
    if (response.status !== 200) throw new Error(`${segmentUrl}: ${response.status} ${await response.text()}`);
    segments.push({ url: segmentUrl, bytes: Buffer.from(await response.arrayBuffer()) });
  }
  return { playlists, segments };
}

function firstUri(playlist: string): string {
  const uri = playlist.split(/\r?\n/).find((line) => line !== "" && !line.startsWith("#"));
  if (!uri) throw new Error(`no URI in the playlist:\n${playlist}`);
  return uri;
}
