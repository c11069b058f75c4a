import { connect, type Socket } from "node:net";
import { encodeAmf0 } from "../src/containers/amf/amf0.ts";

/** What the parent process asks for. */
export type LoadOrder = {
  readonly kind: "flv" | "rtmp" | "hls";
  readonly port: number;
  readonly path: string;
  readonly app: string;
  readonly viewers: number;
  /** New viewers for each second. */
  readonly joinRate: number;
  readonly windowMs: number;
};

/** What is counted of one viewer. Times are `performance.now()`. */
export type Viewer = { begun: number; firstByte: number; last: number; gap: number; bytes: number; ended: boolean };

/** One buffer for all sockets: what is read is thrown away. */
const scratch = Buffer.allocUnsafe(1 << 20);

function open(order: LoadOrder, viewer: Viewer, received: (length: number, bytes: Buffer) => void): Socket {
  const socket = connect({
    port: order.port,
    host: "127.0.0.1",
    onread: { buffer: scratch, callback: (length, bytes) => (received(length, bytes as Buffer), true) },
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    viewer.ended = true;
  });
  return socket;
}

function arrived(viewer: Viewer, length: number): void {
  const now = performance.now();
  if (viewer.last > 0) {
    const gap = now - viewer.last;
    if (gap > viewer.gap) viewer.gap = gap;
  } else {
    viewer.firstByte = now;
  }
  viewer.last = now;
  viewer.bytes += length;
}

/** Opens the address and discards what comes. */
export function startFlvViewer(order: LoadOrder, viewer: Viewer): Socket {
  const socket = open(order, viewer, (length) => arrived(viewer, length));
  socket.write(`GET ${order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  return socket;
}

/** A message of chunk stream 3 with a type 0 header, cut into chunks of 128 bytes, the protocol's default. */
function message(type: number, streamId: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  head[0] = 3;
  head.writeUIntBE(payload.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(streamId, 8);
  const pieces: Uint8Array[] = [head];
  for (let at = 0; at < payload.length; at += 128) {
    if (at > 0) pieces.push(Buffer.from([0xc3]));
    pieces.push(payload.subarray(at, at + 128));
  }
  return Buffer.concat(pieces);
}

/** Plain handshake, then connect, createStream and play in one go; media is discarded. */
export function startRtmpViewer(order: LoadOrder, viewer: Viewer): Socket {
  const handshake = 1 + 1536 * 2;
  let before = 0;
  const socket = open(order, viewer, (length) => {
    if (before < handshake) {
      before += length;
      if (before < handshake) return;
      socket.write(
        Buffer.concat([
          Buffer.alloc(1536),
          message(20, 0, encodeAmf0(["connect", 1, { app: order.app, tcUrl: `rtmp://127.0.0.1/${order.app}`, flashVer: "bench" }])),
          message(20, 0, encodeAmf0(["createStream", 2, null])),
          message(20, 1, encodeAmf0(["play", 3, null, order.path, -2000])),
        ]),
      );
      return;
    }
    arrived(viewer, length);
  });
  socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(1536)]));
  return socket;
}

/** Polls the playlist and fetches each new segment on one kept-alive connection, as players do. */
export function startHlsViewer(order: LoadOrder, viewer: Viewer): Socket {
  let media = "";
  let next = "";
  let newest = -1;
  const queue: string[] = [];
  let head = "";
  let left = -1;
  let text = "";
  let isPlaylist = true;
  const ask = (path: string, playlist: boolean): void => {
    isPlaylist = playlist;
    head = "";
    left = -1;
    text = "";
    if (!socket.destroyed) socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  };
  const finished = (): void => {
    if (isPlaylist) readPlaylist();
    const segment = queue.shift();
    if (segment) ask(segment, false);
    else if (next) {
      const path = next;
      next = "";
      ask(path, true);
    } else setTimeout(() => ask(media, true), 1000);
  };
  const readPlaylist = (): void => {
    const base = media || order.path;
    const uris = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
    if (text.includes("#EXT-X-STREAM-INF")) {
      media = resolve(base, uris[0] ?? "");
      next = media;
      return;
    }
    media = base;
    const first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
    if (newest < 0) newest = first + uris.length - 3;
    uris.forEach((uri, index) => {
      if (first + index <= newest) return;
      newest = first + index;
      queue.push(resolve(base, uri));
    });
  };
  const socket = open(order, viewer, (length, bytes) => {
    arrived(viewer, length);
    let from = 0;
    if (left < 0) {
      head += bytes.toString("latin1", 0, length);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      left = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      from = length - (head.length - end - 4);
    }
    if (isPlaylist) text += bytes.toString("latin1", from, length);
    left -= length - from;
    if (left <= 0) finished();
  });
  ask(order.path, true);
  return socket;
}

function resolve(base: string, uri: string): string {
  const url = new URL(uri, `http://127.0.0.1${base}`);
  return url.pathname + url.search;
}
