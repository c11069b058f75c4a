import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { admit, type TestAdmission } from "../../../test/support/admission.ts";
import { loopbackHost, rawClient } from "../../../test/support/loopback.ts";
import { audioTrack, tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import { SluiceError } from "../../base/errors.ts";
import { createClock } from "../../host/clock.ts";
import type { RunningHost } from "../../host/host.ts";
import { createDirectory } from "../../streams/directory.ts";
import type { Stream, StreamDirectory, StreamWriter } from "../../streams/stream.ts";
import type { AccessRequest } from "../protocol.ts";
import { flv } from "./index.ts";

let host: RunningHost;
let streams: StreamDirectory;
let writer: StreamWriter;
let port: number;
let lines: ReturnType<typeof loopbackHost>["lines"];
let asked: AccessRequest[];
let given: TestAdmission<Stream>[];
let answer: (request: AccessRequest) => Promise<void> | void;

beforeEach(async () => {
  asked = [];
  given = [];
  answer = () => {};
  ({ host, lines } = loopbackHost({
    play: async (request) => {
      asked.push(request);
      await answer(request);
      const one = admit(writer.stream);
      given.push(one);
      return one.admission;
    },
  }));
  streams = createDirectory({ clock: createClock(), log: host.log, flushMs: () => 0 });
  writer = streams.publish("hidden", { bufferMs: 20_000, segmentMs: 2000, resume: false, source: "push://" });
  await flv.serve?.(host, {});
  ({ port } = await host.listenHttp());
});
afterEach(async () => {
  await streams[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
});

const ended = { code: "CLEAN_REMOTE_CLOSE", text: "done" } as const;
const get = (path = "/live.flv", method = "GET"): string => `${method} ${path} HTTP/1.1\r\nHost: tv.example\r\n\r\n`;
const bodyOf = (bytes: Buffer): Buffer => bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
const hasMedia = (bytes: Buffer): boolean => bytes.includes("FLV\u0001") && bodyOf(bytes).length > 200;

/** Two tracks and a group of pictures. */
function begin(from = 0): void {
  writer.describe([videoTrack({ id: 1 }), audioTrack({ id: 2 })]);
  group(from);
}
function group(from: number, size = 100): void {
  for (let n = 0; n < 10; n++) {
    writer.write(tinyPacket(1, from + n * 40, n === 0, size));
    writer.write(tinyPacket(2, from + n * 40 + 5, true, 20));
  }
}

describe("over HTTP", () => {
  it("sends nothing, not even a head, before the gate has answered", async () => {
    begin();
    let say: (() => void) | undefined;
    answer = () => new Promise<void>((resolve) => (say = resolve));
    const client = rawClient(port, get("/live+a%20b.flv?tkn=x"));
    await expect.poll(() => say).toBeDefined();
    // The answer to a request that came later is there, so there was time for a byte too much.
    await rawClient(port, "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").closed;
    expect(client.bytes().length).toBe(0);
    say?.();
    const head = (await client.until(hasMedia)).toString("latin1");
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (const line of ["Content-Type: video/x-flv", "Cache-Control: no-store", "Set-Cookie: tkn=t1; Max-Age=600"])
      expect(head).toContain(line);
    expect(asked[0]).toMatchObject({ protocol: "FLV", stream: "live+a b", query: { tkn: "x" }, carriesToken: true, infoOnly: false });
    client.socket.destroy();
    await expect.poll(() => given[0]?.disposed()).toBe(true);
  });

  it("gives 50 viewers the same bytes, counts them, and ends with the stream", async () => {
    begin();
    const clients = Array.from({ length: 50 }, () => rawClient(port, get()));
    await Promise.all(clients.map((client) => client.until(hasMedia)));
    for (let n = 1; n <= 5; n++) group(n * 400);
    await writer.close(ended);
    const bodies = (await Promise.all(clients.map((client) => client.closed))).map(bodyOf);
    const [first] = bodies;
    expect(first?.subarray(0, 5)).toEqual(Buffer.from([0x46, 0x4c, 0x56, 1, 5]));
    for (const body of bodies) expect(body.equals(first ?? Buffer.alloc(0))).toBe(true);
    for (const one of given) expect([one.bytes(), one.disposed()]).toEqual([first?.length, true]);
  });

  it("a viewer that does not read keeps nobody from reading, and goes on at a newer keyframe", async () => {
    begin();
    const slow = rawClient(port, get());
    await slow.until(hasMedia);
    slow.socket.pause();
    const quick = rawClient(port, get());
    await quick.until(hasMedia);
    for (let n = 1; n <= 30; n++) {
      const before = quick.length();
      group(n * 1000, 100_000);
      await quick.atLeast(before + 1_000_000);
    }
    await writer.close(ended);
    const whole = await quick.closed;
    slow.socket.resume();
    const part = await slow.closed;
    expect(whole.length).toBeGreaterThan(30_000_000);
    expect(part.length).toBeLessThan(whole.length);
  });

  it("is cut off when the session may not go on", async () => {
    begin();
    const client = rawClient(port, get());
    await client.until(hasMedia);
    given[0]?.withdraw(new SluiceError("access.ended", "the operator has ended it"));
    await client.closed;
    expect(given[0]?.disposed()).toBe(true);
    expect(lines()).toEqual([]);
  });

  it("tells a refused viewer the reason", async () => {
    answer = () => {
      throw new SluiceError("access.denied", "please subscribe first");
    };
    const response = await fetch(`http://127.0.0.1:${port}/live.flv`);
    expect([response.status, await response.text()]).toEqual([403, "please subscribe first\n"]);
  });

  it("answers HEAD with the head, after the gate", async () => {
    begin();
    const head = (await rawClient(port, get("/live.flv", "HEAD")).closed).toString("latin1");
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*Content-Type: video\/x-flv\r\n[^]*\r\n\r\n$/);
    expect(asked).toHaveLength(1);
  });

  it("takes no other method and does not ask for it", async () => {
    expect((await fetch(`http://127.0.0.1:${port}/live.flv`, { method: "POST", body: "x" })).status).toBe(405);
    expect(asked).toEqual([]);
  });

  it("waits for the first track, and says what is missing when none comes", async () => {
    const early = rawClient(port, get());
    await expect.poll(() => given.length).toBe(1);
    expect(early.bytes().length).toBe(0);
    begin();
    await early.until(hasMedia);
    await writer.close(ended);
    await early.closed;
    writer = streams.publish("other", { bufferMs: 20_000, segmentMs: 2000, resume: false, source: "push://" });
    const never = fetch(`http://127.0.0.1:${port}/live.flv`);
    await expect.poll(() => given.length).toBe(2);
    await writer.close(ended);
    const response = await never;
    expect([response.status, await response.text()]).toEqual([
      404,
      "no track of this stream can be carried as FLV: it has no track yet, FLV takes h264, hevc, av1, vp9, vp8, aac, mp3, opus, ac3, flac\n",
    ]);
  });
});

describe("over a WebSocket", () => {
  const url = (): string => `ws://127.0.0.1:${port}/live.flv?tkn=x`;
  function collect(client: WebSocket): { bytes: () => Buffer; closed: Promise<[number, string]> } {
    const parts: Buffer[] = [];
    client.on("message", (data: Buffer) => parts.push(data));
    return { bytes: () => Buffer.concat(parts), closed: once(client, "close").then(([code, reason]) => [code, String(reason)]) };
  }

  it("gives all viewers the bytes that HTTP gives, in frames made once", async () => {
    begin();
    const plain = rawClient(port, get());
    const viewers = Array.from({ length: 20 }, () => new WebSocket(url())).map((client) => ({ client, ...collect(client) }));
    await plain.until(hasMedia);
    await Promise.all(viewers.map(({ client }) => once(client, "message")));
    for (let n = 1; n <= 3; n++) group(n * 400, n === 2 ? 70_000 : 100);
    await writer.close(ended);
    const body = bodyOf(await plain.closed);
    for (const { bytes, closed } of viewers) {
      expect(await closed).toEqual([1000, "the stream has ended"]);
      expect(bytes().equals(body)).toBe(true);
    }
  });

  it("closes with 1008 and the reason when the session may not go on", async () => {
    begin();
    const client = new WebSocket(url());
    const { closed } = collect(client);
    await once(client, "message");
    given[0]?.withdraw(new SluiceError("access.denied", "please subscribe first"));
    expect(await closed).toEqual([1008, "please subscribe first"]);
    await expect.poll(() => given[0]?.disposed()).toBe(true);
  });

  it("is refused before the upgrade", async () => {
    answer = () => {
      throw new SluiceError("access.denied", "please subscribe first");
    };
    const [, response] = await once(new WebSocket(url()), "unexpected-response");
    expect(response.statusCode).toBe(403);
    response.destroy();
  });
});

it("a path below a folder is not a stream", async () => {
  expect((await fetch(`http://127.0.0.1:${port}/a/live.flv`)).status).toBe(404);
  expect(asked).toEqual([]);
});
