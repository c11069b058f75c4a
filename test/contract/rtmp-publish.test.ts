import { describe, expect, it } from "vitest";
import { SluiceError } from "../../src/base/errors.ts";
import { encodeAmf0 } from "../../src/containers/amf/amf0.ts";
import { rtmp } from "../../src/protocols/rtmp/index.ts";
import { readNumber, readUserControl, setChunkSize, userControl, userEvent, windowAckSize } from "../../src/protocols/rtmp/wire/control.ts";
import { messageType } from "../../src/protocols/rtmp/wire/message.ts";
import { createFakeHost, type FakeHost, type FakeHostOptions } from "../support/fake-host.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { RtmpClient } from "../support/rtmp-client.ts";

type Served = FakeHost & { readonly port: number };

async function serve(options: FakeHostOptions = {}): Promise<Served> {
  const fake = createFakeHost(options);
  const listener = await rtmp.serve?.(fake.host, { port: 0 });
  return { ...fake, port: (listener as unknown as { port: number }).port };
}

/** 44.1 kHz stereo AAC-LC, as every encoder announces it, and a frame of no meaning. */
const aacConfig = Uint8Array.of(0xaf, 0, 0x12, 0x10);
const aacFrame = (value: number): Uint8Array => Uint8Array.of(0xaf, 1, value, value, value);
const audio = (timestamp: number, payload: Uint8Array) => ({ type: messageType.audio, timestamp, payload });

/** A publisher that is allowed to send. */
async function publishing(port: number, name = "cam"): Promise<RtmpClient> {
  const client = new RtmpClient(port);
  client.connect();
  client.command("createStream", null);
  client.command("publish", null, name, "live");
  await client.status("NetStream.Publish.Start");
  return client;
}

describe("RTMP publish", () => {
  it("asks with everything that the client said, before it says start", async () => {
    const answer = Promise.withResolvers<void>();
    await using served = await serve({ decide: () => answer.promise });
    await using client = new RtmpClient(served.port);
    client.connect("secret%20app?app=1");
    client.command("releaseStream", null, "cam");
    client.command("FCPublish", null, "cam");
    client.command("createStream", null);
    client.command("publish", null, "Ca%6D+wild?key=a%20b&tkn=x+y", "live");
    await client.until((one) => one.commands.some(([name, , , id]) => name === "_result" && id === 1));
    // An answer to a ping proves that the server has read everything that was sent before it.
    client.send({ ...userControl(userEvent.pingRequest, 7), streamId: 0 });
    await client.until((one) =>
      one.received.some(({ type, payload }) => type === messageType.userControl && payload[1] === userEvent.pingResponse),
    );
    expect(client.codes).toEqual([]);
    expect(served.asked).toHaveLength(1);
    expect(served.asked[0]?.request).toMatchObject({
      protocol: "RTMP",
      stream: "Cam+wild",
      url: "rtmp://example.test/secret%20app?app=1/Ca%6D+wild?key=a%20b&tkn=x+y",
      address: "127.0.0.1",
      query: { app: "1", key: "a b", tkn: "x+y" },
      headers: { host: "example.test", "user-agent": "test/1" },
      cookies: {},
      password: "secret%20app",
      carriesToken: false,
    });
    answer.resolve();
    await client.status("NetStream.Publish.Start");
  });

  it("passes media on in order, media that came before the answer too", async () => {
    const answer = Promise.withResolvers<void>();
    await using served = await serve({ decide: () => answer.promise });
    await using client = new RtmpClient(served.port);
    client.connect();
    client.command("publish", null, "cam", "live");
    client.send(audio(0, aacConfig), audio(0, aacFrame(1)));
    client.send({ ...userControl(userEvent.pingRequest, 7), streamId: 0 });
    await client.until((one) =>
      one.received.some(({ type, payload }) => type === messageType.userControl && payload[1] === userEvent.pingResponse),
    );
    answer.resolve();
    client.send(audio(23, aacFrame(2)));
    const stream = await served.published("cam");
    await stream.until(({ packets }) => packets.length === 2);
    expect(stream.tracks).toMatchObject([{ kind: "audio", codec: "aac", sampleRate: 44_100, channels: 2 }]);
    expect(stream.packets.map(({ dts, data }) => [dts, data[0]])).toEqual([
      [0, 1],
      [23_000, 2],
    ]);
  });

  it("continues times beyond 24 and 32 bits, and takes data at time zero in between", async () => {
    await using served = await serve();
    await using client = await publishing(served.port);
    const times = [0xfffffe, 0xffffff, 0x1000000, 0x7fffff00, 0xc0000000, 0xfffffff0, 0x10];
    const metadata = { type: messageType.dataAmf0, payload: encodeAmf0(["@setDataFrame", "onMetaData", { framerate: 25 }]) };
    client.send(audio(0, aacConfig), ...times.flatMap((time) => [audio(time, aacFrame(9)), metadata]));
    const stream = await served.published("cam");
    await stream.until(({ packets }) => packets.length === times.length);
    expect(stream.packets.map(({ dts }) => dts / 1000)).toEqual([
      0xfffffe,
      0xffffff,
      0x1000000,
      0x7fffff00,
      0xc0000000,
      0xfffffff0,
      2 ** 32 + 0x10,
    ]);
  });

  it("understands AMF3 commands and data, and aggregates", async () => {
    await using served = await serve();
    await using client = new RtmpClient(served.port);
    const amf3 = (values: readonly unknown[], tail: readonly number[] = []) => ({
      type: messageType.commandAmf3,
      payload: Uint8Array.of(0, ...encodeAmf0(values), ...tail),
      streamId: 0,
    });
    client.send(amf3(["connect", 1, { app: "live", tcUrl: "rtmp://example.test/live", objectEncoding: 3 }]));
    const [, , , info] = await client.until((one) => one.commands.find(([name]) => name === "_result"));
    expect(info).toMatchObject({ code: "NetConnection.Connect.Success", objectEncoding: 3 });
    // publish, 2, null, "cam" as AMF3 string behind the switch marker
    client.send(amf3(["publish", 2, null], [0x11, 6, 7, 0x63, 0x61, 0x6d]));
    await client.status("NetStream.Publish.Start");
    client.send({ type: messageType.dataAmf3, payload: Uint8Array.of(0, ...encodeAmf0(["@setDataFrame", "onMetaData", {}])) });
    const tag = (time: number, body: Uint8Array): number[] => [
      8,
      0,
      0,
      body.length,
      0,
      0,
      time,
      0,
      0,
      0,
      0,
      ...body,
      0,
      0,
      0,
      body.length + 11,
    ];
    client.send({
      type: messageType.aggregate,
      timestamp: 1000,
      payload: Uint8Array.from([...tag(5, aacConfig), ...tag(5, aacFrame(1)), ...tag(28, aacFrame(2))]),
    });
    const stream = await served.published("cam");
    await stream.until(({ packets }) => packets.length === 2);
    expect(stream.packets.map(({ dts }) => dts)).toEqual([1_000_000, 1_023_000]);
  });

  it("tells a client of enhanced RTMP what it takes, and says nothing of it to others", async () => {
    await using served = await serve();
    await using plain = new RtmpClient(served.port);
    plain.connect();
    const [, , , plainInfo] = await plain.until((one) => one.commands.find(([name]) => name === "_result"));
    expect(plainInfo).not.toHaveProperty("fourCcList");
    await using client = new RtmpClient(served.port);
    client.connect("live", { fourCcList: ["hvc1"], capsEx: 4 });
    const [, , , info] = await client.until((one) => one.commands.find(([name]) => name === "_result"));
    expect((info as { fourCcList: string[] }).fourCcList).toEqual(expect.arrayContaining(["hvc1", "av01", "vp09", "Opus"]));
    expect((info as { videoFourCcInfoMap: object }).videoFourCcInfoMap).toMatchObject({ hvc1: 4 });
  });

  it.each([
    ["access.denied", "NetStream.Publish.Denied"],
    ["access.taken", "NetStream.Publish.BadName"],
  ] as const)("tells the reason of %s, then closes", async (code, expected) => {
    await using served = await serve({
      decide: () => {
        throw new SluiceError(code, "please subscribe first");
      },
    });
    await using client = new RtmpClient(served.port);
    client.connect();
    client.command("publish", null, "token-1234", "live");
    const status = await client.status(expected);
    expect(status).toMatchObject({ level: "error", description: "please subscribe first" });
    await client.closed;
    expect(served.logged()).toEqual([]);
  });

  it("tells nothing of what broke inside", async () => {
    await using served = await serve({
      decide: () => {
        throw new Error("database password is hunter2");
      },
    });
    await using client = new RtmpClient(served.port);
    client.connect();
    client.command("publish", null, "cam", "live");
    expect((await client.status("NetStream.Publish.Denied")).description).not.toContain("hunter2");
    await client.closed;
    expect(served.logged()).toHaveLength(1);
  });

  it.each(["FCUnpublish", "deleteStream", "closeStream"])("ends the stream on %s, and lets the client publish again", async (command) => {
    await using served = await serve();
    await using client = await publishing(served.port);
    const stream = await served.published("cam");
    client.command(command, null, command === "FCUnpublish" ? "cam" : 1);
    expect((await stream.closed).code).toBe("CLEAN_INTENDED_STOP");
    client.command("publish", null, "again", "live");
    await served.published("again");
    await client.until((one) => one.codes.filter((code) => code === "NetStream.Publish.Start").length === 2);
    expect(served.asked.map(({ disposed }) => disposed)).toEqual([true, false]);
  });

  it("ends the stream when the publisher is gone, also while the answer is awaited", async () => {
    const answer = Promise.withResolvers<void>();
    await using served = await serve({ decide: (_, { stream }) => (stream === "late" ? answer.promise : undefined) });
    const early = await publishing(served.port, "early");
    early.socket.destroy();
    expect((await (await served.published("early")).closed).code).toBe("CLEAN_REMOTE_CLOSE");
    const late = new RtmpClient(served.port);
    late.connect();
    late.command("publish", null, "late", "live");
    await late.until((one) => one.commands.length > 0);
    late.socket.destroy();
    await late.closed;
    answer.resolve();
    expect((await (await served.published("late")).closed).code).toBe("CLEAN_REMOTE_CLOSE");
  });

  it("cuts off a publisher whose session or stream the server ends, with the reason", async () => {
    await using served = await serve();
    await using first = await publishing(served.port, "first");
    served.asked[0]?.withdraw("your time is over");
    expect(await first.status("NetStream.Publish.Denied")).toMatchObject({ level: "error", description: "your time is over" });
    await first.closed;
    await using second = await publishing(served.port, "second");
    (await served.published("second")).withdraw(new SluiceError("access.ended", "taken over"));
    expect((await second.status("NetStream.Publish.Denied")).description).toBe("taken over");
    await second.closed;
    await Promise.all([...served.streams.values()].map(({ closed }) => closed));
  });

  it("counts what comes in and acknowledges it", async () => {
    await using served = await serve();
    await using client = await publishing(served.port);
    client.send({ ...windowAckSize(5000), streamId: 0 }, { ...setChunkSize(128), streamId: 0 }, audio(0, aacConfig));
    for (let time = 0; time < 40; time += 1) client.send(audio(time, new Uint8Array(300).fill(0xaf).fill(1, 1)));
    const acknowledged = await client.until((one) => one.received.find(({ type }) => type === messageType.acknowledgement));
    expect(readNumber(acknowledged)).toBeGreaterThanOrEqual(5000);
    const stream = await served.published("cam");
    await stream.until(({ packets }) => packets.length === 40);
    expect(served.asked[0]?.down).toBeGreaterThan(40 * 300);
  });

  it("closes on bad input, with one line in the log, and hurts nobody else", async () => {
    await using served = await serve();
    await using good = await publishing(served.port, "good");
    await using bad = await publishing(served.port, "bad");
    bad.socket.write(Uint8Array.of(0xff));
    bad.send({ type: messageType.commandAmf0, payload: Uint8Array.of(0x44) });
    await bad.closed;
    expect(served.logged()).toHaveLength(1);
    expect((await (await served.published("bad")).closed).code).toBe("FORMAT_SPECIFIC");
    good.send(audio(0, aacConfig), audio(0, aacFrame(1)));
    await (await served.published("good")).until(({ packets }) => packets.length === 1);
  });

  it("tells a publisher which codec it cannot take", async () => {
    await using served = await serve();
    await using client = await publishing(served.port);
    client.send(audio(0, Uint8Array.of(0xb6, 1, 2))); // Speex
    expect(await client.status("NetStream.Publish.Failed")).toMatchObject({ level: "error", description: expect.stringContaining("AAC") });
    await client.closed;
  });

  it("refuses commands out of order and without end", async () => {
    await using served = await serve();
    await using early = new RtmpClient(served.port);
    early.command("publish", null, "cam", "live");
    await early.closed;
    await using many = new RtmpClient(served.port);
    many.connect();
    for (let index = 0; index < 1001; index += 1) many.command("receiveAudio", null, true);
    await many.closed;
    await using nameless = new RtmpClient(served.port);
    nameless.connect();
    nameless.command("publish", null, 5);
    await nameless.status("NetStream.Publish.BadName");
    await nameless.closed;
    expect(served.logged()).toEqual([expect.stringContaining("before connect"), expect.stringContaining("more than 1000")]);
  });

  it("closes who does not come to the point, and who has fallen silent", async () => {
    const clock = new FakeClock();
    await using served = await serve({ clock });
    await using slow = new RtmpClient(served.port);
    slow.connect();
    await slow.until((one) => one.commands.length > 0);
    await using silent = await publishing(served.port, "silent");
    await clock.advance(14_999);
    expect(slow.socket.destroyed).toBe(false);
    await clock.advance(1);
    await slow.closed;
    const ping = await silent.until((one) =>
      one.received.find(({ type, payload }) => type === messageType.userControl && payload[1] === userEvent.pingRequest),
    );
    expect(readUserControl(ping).event).toBe(userEvent.pingRequest);
    await clock.advance(60_000);
    expect((await (await served.published("silent")).closed).code).toBe("CLEAN_INACTIVE");
    await clock.advance(5000);
    await silent.closed;
  });
});
