import { describe, expect, it } from "vitest";
import { SluiceError } from "../../src/base/errors.ts";
import { decodeAmf0 } from "../../src/containers/amf/amf0.ts";
import type { AudioTrack, VideoTrack } from "../../src/media/track.ts";
import { rtmp } from "../../src/protocols/rtmp/index.ts";
import { readUserControl, userEvent } from "../../src/protocols/rtmp/wire/control.ts";
import { messageType, type RtmpMessage } from "../../src/protocols/rtmp/wire/message.ts";
import { createFakeHost, type FakeHost, type FakeHostOptions } from "../support/fake-host.ts";
import type { MemoryStream } from "../support/memory-stream.ts";
import { RtmpClient } from "../support/rtmp-client.ts";

type Served = FakeHost & { readonly port: number };

async function serve(options: FakeHostOptions = {}): Promise<Served> {
  const fake = createFakeHost(options);
  const listener = await rtmp.serve?.(fake.host, { port: 0 });
  return { ...fake, port: (listener as unknown as { port: number }).port };
}

const aac: AudioTrack = {
  kind: "audio",
  id: 2,
  codec: "aac",
  config: Uint8Array.of(0x12, 0x10),
  codecString: "mp4a.40.2",
  sampleRate: 44_100,
  channels: 2,
};
const hevc: VideoTrack = {
  kind: "video",
  id: 1,
  codec: "hevc",
  config: Uint8Array.of(1, 2, 3),
  codecString: "hvc1.1.6.L63.90",
  width: 320,
  height: 180,
};

/** A stream with two groups of pictures, 40 ms each frame, at a time beyond 24 bits of milliseconds. */
function openStream(served: FakeHost, start = 0x1000000): MemoryStream {
  const stream = served.open("cam");
  stream.writer.describe([hevc, aac]);
  for (let frame = 0; frame < 4; frame += 1) {
    const time = (start + frame * 40) * 1000;
    stream.writer.write({ trackId: 1, dts: time, pts: time + 80_000, keyframe: frame % 2 === 0, data: new Uint8Array(70_000).fill(frame) });
    stream.writer.write({ trackId: 2, dts: time, pts: time, keyframe: true, data: Uint8Array.of(frame) });
  }
  return stream;
}

async function watching(port: number, name = "cam"): Promise<RtmpClient> {
  const client = new RtmpClient(port);
  client.connect("anyapp");
  client.command("createStream", null);
  client.command("play", null, name, -2000);
  await client.status("NetStream.Play.Start");
  return client;
}

const media = (client: RtmpClient): RtmpMessage[] =>
  client.received.filter(({ type }) => type === messageType.audio || type === messageType.video);
const hex = (message: RtmpMessage | undefined, length: number): string =>
  Buffer.from(message?.payload.subarray(0, length) ?? []).toString("hex");

describe("RTMP play", () => {
  it("asks with the viewer's token and sends nothing before the answer", async () => {
    const answer = Promise.withResolvers<void>();
    await using served = await serve({ decide: () => answer.promise });
    openStream(served);
    await using client = new RtmpClient(served.port);
    client.connect("anyapp");
    client.command("play", null, "cam?tkn=abc", -2000);
    client.command("createStream", null);
    await client.until((one) => one.commands.length > 0);
    expect(media(client)).toEqual([]);
    expect(served.asked).toMatchObject([
      { kind: "play", request: { stream: "cam", query: { tkn: "abc" }, url: "rtmp://example.test/anyapp/cam?tkn=abc" } },
    ]);
    answer.resolve();
    await client.until((one) => media(one).length > 0);
    expect(client.codes).toEqual(["NetStream.Play.Reset", "NetStream.Play.Start"]);
  });

  it("begins with metadata and codec configurations, then the newest keyframe", async () => {
    await using served = await serve();
    openStream(served);
    await using client = await watching(served.port);
    await client.until((one) => media(one).length === 6);
    const data = client.received.filter(({ type }) => type === messageType.dataAmf0).map(({ payload }) => decodeAmf0(payload));
    expect(data).toMatchObject([
      ["|RtmpSampleAccess", true, true],
      ["onMetaData", { width: 320, height: 180 }],
    ]);
    const [videoConfig, audioConfig, key, audio, inter] = media(client);
    expect(hex(videoConfig, 8)).toBe(`90${Buffer.from("hvc1").toString("hex")}010203`); // keyframe, sequence start
    expect(hex(audioConfig, 4)).toBe("af001210");
    // coded frames with a composition time of 80 ms, in one chunk or several
    expect(hex(key, 9)).toBe(`91${Buffer.from("hvc1").toString("hex")}00005002`);
    expect([key?.timestamp, audio?.timestamp, inter?.timestamp]).toEqual([0x1000050, 0x1000050, 0x1000078]);
    expect(key?.payload.length).toBe(70_008);
    expect(hex(audio, 3)).toBe("af0102");
    expect(served.asked[0]?.up).toBeGreaterThan(140_000);
  });

  it("cuts times to 32 bits", async () => {
    await using served = await serve();
    openStream(served, 2 ** 32 - 80);
    await using client = await watching(served.port);
    await client.until((one) => media(one).length === 6);
    expect(
      media(client)
        .slice(2)
        .map(({ timestamp }) => timestamp),
    ).toEqual([0, 0, 40, 40]);
  });

  it("says how it ends when the stream ends", async () => {
    await using served = await serve();
    const stream = openStream(served);
    await using client = await watching(served.port);
    stream.close({ code: "CLEAN_REMOTE_CLOSE", text: "over" });
    await client.closed;
    expect(client.codes.slice(2)).toEqual(["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]);
    const eof = client.received.filter(({ type }) => type === messageType.userControl).map((message) => readUserControl(message));
    expect(eof).toContainEqual({ event: userEvent.streamEof, value: 1 });
    expect(served.asked[0]?.disposed).toBe(true);
  });

  it("cuts off a viewer whose session ends, with the reason", async () => {
    await using served = await serve();
    openStream(served);
    await using client = await watching(served.port);
    served.asked[0]?.withdraw("your subscription has ended");
    expect(await client.status("NetStream.Play.Failed")).toMatchObject({ level: "error", description: "your subscription has ended" });
    await client.closed;
    expect(served.asked[0]?.disposed).toBe(true);
  });

  it.each([
    ["access.denied", "NetStream.Play.Failed"],
    ["access.offline", "NetStream.Play.StreamNotFound"],
  ] as const)("tells the reason of %s, then closes", async (code, expected) => {
    await using served = await serve({
      decide: () => {
        throw new SluiceError(code, "not today");
      },
    });
    await using client = new RtmpClient(served.port);
    client.connect();
    client.command("play", null, "cam", -2000);
    expect(await client.status(expected)).toMatchObject({ level: "error", description: "not today" });
    await client.closed;
    expect(media(client)).toEqual([]);
    expect(served.logged()).toEqual([]);
  });

  it("lets a viewer stop and watch again, tolerates pause, and ends the session of who leaves", async () => {
    await using served = await serve();
    openStream(served);
    await using client = await watching(served.port);
    client.command("receiveVideo", null, false);
    client.command("pause", null, true, 0);
    await client.status("NetStream.Pause.Notify");
    client.command("deleteStream", null, 1);
    client.command("createStream", null);
    client.command("play", null, "cam", -2000);
    await client.until((one) => one.codes.filter((code) => code === "NetStream.Play.Start").length === 2);
    expect(served.asked.map(({ disposed }) => disposed)).toEqual([true, false]);
    client.socket.destroy();
    await expect.poll(() => served.asked[1]?.disposed).toBe(true);
  });
});
