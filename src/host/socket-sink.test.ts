import { createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type RawClient, rawClient } from "../../test/support/loopback.ts";
import { createClock } from "./clock.ts";
import { createSocketSink } from "./socket-sink.ts";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function pair(): Promise<{ readonly server: Socket; readonly client: RawClient }> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  const accepted = new Promise<Socket>((resolve) => listener.once("connection", resolve));
  const client = rawClient(address.port);
  const server = await accepted;
  server.on("error", () => {});
  cleanups.push(() => (client.socket.destroy(), server.destroy(), listener.close()));
  return { server, client };
}

/** Writes until the peer's and our buffers are full. */
function flood(sink: ReturnType<typeof createSocketSink>): number {
  const block = new Uint8Array(128 * 1024).fill(9);
  let written = 0;
  for (; !sink.congested && written < 64 * 1024 * 1024; written += block.length) sink.write(block);
  return written;
}

it("is congested when the peer does not read, and tells once when it does again", async () => {
  const { server, client } = await pair();
  client.socket.pause();
  const sink = createSocketSink(server, createClock());
  const written = flood(sink);
  expect(sink.congested).toBe(true);
  let calls = 0;
  const forgotten = sink.onDrained(() => calls++);
  forgotten[Symbol.dispose]();
  const drained = new Promise<void>((resolve) =>
    sink.onDrained(() => {
      calls += 100;
      resolve();
    }),
  );
  client.socket.resume();
  await drained;
  await client.until((bytes) => bytes.length === written);
  expect(sink.congested).toBe(false);
  expect(calls).toBe(100);
});

it("who waits is woken when the peer goes, and writing afterwards does nothing", async () => {
  const { server, client } = await pair();
  client.socket.pause();
  const sink = createSocketSink(server, createClock());
  flood(sink);
  const woken = new Promise<void>((resolve) => sink.onDrained(resolve));
  client.socket.resetAndDestroy();
  await woken;
  expect(sink.signal.aborted).toBe(true);
  expect(sink.congested).toBe(false);
  sink.write(new Uint8Array(10));
  sink.end();
});

it("end sends what is queued; the signal tells at once", async () => {
  const { server, client } = await pair();
  const sink = createSocketSink(server, createClock());
  sink.write(new TextEncoder().encode("last words"));
  sink.end();
  expect(sink.signal.aborted).toBe(true);
  sink.write(new TextEncoder().encode(" and more"));
  expect((await client.closed).toString()).toBe("last words");
});

it("a peer that never closes its side is cut off", async () => {
  const { server, client } = await pair();
  client.socket.pause();
  let cut: (() => void) | undefined;
  const clock = { ...createClock(), after: (_: number, run: () => void) => ((cut = run), { [Symbol.dispose]: () => {} }) };
  const sink = createSocketSink(server, clock);
  flood(sink);
  sink.end();
  expect(server.destroyed).toBe(false);
  cut?.();
  expect(server.destroyed).toBe(true);
});
