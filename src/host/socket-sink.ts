import type { Socket } from "node:net";
import type { Sink } from "../base/sink.ts";
import type { Clock } from "../base/time.ts";

/**
 * Bytes in our own buffer from which a peer counts as congested, in addition to what the kernel holds:
 * a second of 2 Mbit/s, and far more than one write of a healthy stream.
 */
const congestedBytes = 256 * 1024;

/** Milliseconds that a peer has to take the rest and to close its side after `end()`. */
export const lingerMs = 3000;

/**
 * A sink over a TCP socket. A write hands the shared buffer to the kernel at once; nothing is copied, no callback is made.
 * Node's "drain" comes when our buffer is empty; the kernel's own is then still full, so the peer does not starve.
 */
export function createSocketSink(socket: Socket, clock: Clock): Sink {
  const controller = new AbortController();
  let closed = false;
  let waiting: { readonly run: () => void }[] = [];

  const wake = (): void => {
    const entries = waiting;
    waiting = [];
    for (const { run } of entries) run();
  };
  const close = (): void => {
    if (closed) return;
    closed = true;
    controller.abort();
    wake();
  };
  socket.on("drain", wake);
  socket.once("close", close);
  const end = (): void => {
    if (closed) return;
    endGently(socket, clock);
    close();
  };
  // A peer that has closed its side plays no more; Node closes ours, and a write would then be an error.
  socket.once("end", end);
  if (socket.destroyed || socket.writableEnded) close();

  return {
    write(bytes) {
      if (!closed) socket.write(bytes);
    },
    get congested() {
      return !closed && socket.writableLength > congestedBytes;
    },
    onDrained(run) {
      const entry = { run };
      waiting.push(entry);
      if (closed || socket.writableLength <= congestedBytes) queueMicrotask(() => waiting.includes(entry) && wake());
      return {
        [Symbol.dispose]: () => {
          waiting = waiting.filter((other) => other !== entry);
        },
      };
    },
    end,
    signal: controller.signal,
  };
}

/**
 * Sends what is queued, then closes. What the peer still sends is read and thrown away for a moment: closing a socket with
 * unread bytes resets the connection, and the peer would lose the last thing it was told.
 */
export function endGently(socket: Socket, clock: Clock): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const linger = clock.after(lingerMs, () => socket.destroy());
  socket.once("close", () => linger[Symbol.dispose]());
}
