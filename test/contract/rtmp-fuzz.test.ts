import { connect, createServer } from "node:net";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isSluiceError } from "../../src/base/errors.ts";
import type { TcpConnection } from "../../src/protocols/protocol.ts";
import { encodeAmf0 } from "../../src/containers/amf/amf0.ts";
import { rtmp } from "../../src/protocols/rtmp/index.ts";
import { writeMessage } from "../../src/protocols/rtmp/wire/chunk-writer.ts";
import { messageType } from "../../src/protocols/rtmp/wire/message.ts";
import { startChild } from "../support/child.ts";
import { settle } from "../support/fake-clock.ts";
import { createFakeHost, type FakeHost } from "../support/fake-host.ts";
import { createMemoryConnection } from "../support/memory-connection.ts";
import { sampleMedia } from "../support/media.ts";

/** What one program sent from its first byte to its last. */
async function record(command: string, args: (url: string) => readonly string[]): Promise<Buffer> {
  await using fake = createFakeHost();
  const listener = (await rtmp.serve?.(fake.host, { port: 0 })) as unknown as { port: number };
  fake.open("played").writer.describe([]);
  const parts: Buffer[] = [];
  const recorder = createServer((client) => {
    const upstream = connect({ port: listener.port, host: "127.0.0.1" });
    client.on("data", (part) => parts.push(part));
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => recorder.listen(0, "127.0.0.1", resolve));
  const address = recorder.address();
  await using program = startChild(command, args(`rtmp://127.0.0.1:${typeof address === "object" ? address?.port : 0}/live/cam`));
  expect(await program.exited).toBe(0);
  await new Promise<void>((resolve) => recorder.close(() => resolve()));
  return Buffer.concat(parts);
}

const gstreamer = (sink: string) => (url: string) => [
  ...["-q", "videotestsrc", "num-buffers=15", "!", "video/x-raw,width=64,height=48", "!", "x264enc", "tune=zerolatency", "!", "h264parse"],
  ...["!", "flvmux", "streamable=true", "!", sink, `location=${url}`],
];

const names = ["ffmpeg", "rtmp2sink", "librtmp"] as const;
const sessions = new Map<string, Buffer>();
let fake: FakeHost;
let serve: (connection: TcpConnection) => Promise<void>;

beforeAll(async () => {
  const path = await sampleMedia({ video: "h264", audio: "aac", seconds: 1 });
  sessions.set(
    "ffmpeg",
    await record("ffmpeg", (url) => ["-loglevel", "error", "-nostdin", "-i", path, "-t", "0.6", "-c", "copy", "-f", "flv", url]),
  );
  sessions.set("rtmp2sink", await record("gst-launch-1.0", gstreamer("rtmp2sink")));
  sessions.set("librtmp", await record("gst-launch-1.0", gstreamer("rtmpsink")));
  fake = createFakeHost();
  await rtmp.serve?.(
    {
      ...fake.host,
      tcp: async (_, accept) => {
        serve = accept;
        return { port: 0, stopListening: () => {}, [Symbol.asyncDispose]: async () => {} };
      },
    },
    { port: 0 },
  );
});

afterAll(async () => {
  await fake?.[Symbol.asyncDispose]();
});

/** Plays a session to the server, in pieces, then hangs up; gives how many packets arrived. Fails for errors that are no judgement on the input. */
async function replay(bytes: Uint8Array, pieces: readonly number[]): Promise<number> {
  const before = fake.asked.length;
  fake.streams.get("cam")?.close({ code: "UNKNOWN", text: "the next replay begins" });
  const memory = createMemoryConnection();
  const served = serve(memory.connection).then(
    () => undefined,
    (error: unknown) => error,
  );
  let from = 0;
  for (const piece of [...pieces, bytes.length]) {
    memory.feed(bytes.subarray(from, from + piece));
    from += piece;
    // The answer to connect and publish comes in a later turn, as over a network.
    if (from < 20_000) await settle();
  }
  await settle();
  memory.end();
  const error = await served;
  if (error !== undefined && !(isSluiceError(error) && error.code.startsWith("input."))) throw error;
  await settle();
  const asked = fake.asked.slice(before);
  expect(asked.every(({ granted, disposed }) => disposed === granted)).toBe(true);
  return asked.length === 0 ? 0 : ([...fake.streams.values()].at(-1)?.packets.length ?? 0);
}

describe("recorded RTMP sessions", () => {
  it.each(names)("of %s give the same packets in pieces of any size", async (name) => {
    const bytes = sessions.get(name) ?? Buffer.alloc(0);
    const whole = await replay(bytes, []);
    expect(whole).toBeGreaterThanOrEqual(15);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 40 }), async (pieces) => {
        expect(await replay(bytes, pieces)).toBe(whole);
      }),
      { numRuns: 15 },
    );
    expect(
      await replay(
        bytes,
        Array.from({ length: Math.min(bytes.length, 6000) }, () => 1),
      ),
    ).toBe(whole);
  });

  it.each(names)("of %s, mutated, end in order or are refused", async (name) => {
    const bytes = sessions.get(name) ?? Buffer.alloc(0);
    const change = fc.record({
      kind: fc.constantFrom("set", "cut", "repeat", "insert"),
      at: fc.oneof(fc.integer({ min: 3073, max: Math.min(4200, bytes.length - 1) }), fc.nat(bytes.length - 1)),
      length: fc.integer({ min: 1, max: 64 }),
      value: fc.nat(255),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 4000 }), { maxLength: 10 }),
        async (changes, pieces) => {
          let mutated: Uint8Array = bytes;
          for (const { kind, at, length, value } of changes) {
            const head = mutated.subarray(0, at);
            const part = mutated.subarray(at, at + length);
            const tail = mutated.subarray(at + length);
            if (kind === "set") mutated = Buffer.concat([head, Uint8Array.of(value), mutated.subarray(at + 1)]);
            else if (kind === "cut") mutated = Buffer.concat([head, tail]);
            else if (kind === "repeat") mutated = Buffer.concat([head, part, part, tail]);
            else mutated = Buffer.concat([head, new Uint8Array(length).fill(value), part, tail]);
          }
          await replay(mutated, pieces);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("RTMP commands", () => {
  it("in any order, with any arguments, end in order or are refused", async () => {
    const name = fc.constantFrom(
      ...["connect", "createStream", "publish", "play", "pause", "seek", "FCPublish", "FCUnpublish", "closeStream", "deleteStream"],
      ...["releaseStream", "getStreamLength", "_checkbw", "_result", "onStatus", "nonsense"],
    );
    const value = fc.oneof(
      fc.string(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.constant({ app: "live", tcUrl: 5 }),
      fc.constant([[]]),
    );
    const call = fc.tuple(name, fc.oneof(fc.nat(9), value), fc.array(value, { maxLength: 4 }));
    const hello = Uint8Array.of(3, ...new Uint8Array(3072));
    const connectCall = ["connect", 1, { app: "live" }];
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { maxLength: 12 }),
        fc.constantFrom(messageType.commandAmf0, messageType.commandAmf3),
        async (calls, type) => {
          const messages = [connectCall, ...calls.map(([command, transaction, args]) => [command, transaction, ...args])].flatMap(
            (values) => writeMessage({ chunkStreamId: 3, type, timestamp: 0, streamId: 1 }, [encodeAmf0(values)], 128),
          );
          await replay(
            Buffer.concat([hello, ...messages]),
            messages.map(({ length }, index) => (index === 0 ? hello.length + length : length)),
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});
