import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { admit, type TestAdmission } from "../../../test/support/admission.ts";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { loopbackHost } from "../../../test/support/loopback.ts";
import { MemoryStream } from "../../../test/support/memory-stream.ts";
import { audioTrack, tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import { SluiceError } from "../../base/errors.ts";
import type { RunningHost } from "../../host/host.ts";
import type { Stream } from "../../streams/stream.ts";
import { http } from "./index.ts";

type Info = Record<string, unknown> & { meta?: { tracks: Record<string, unknown> } };

describe("stream information over a WebSocket", () => {
  let clock: FakeClock;
  let host: RunningHost;
  let port: number;
  let asked: number;
  let tokens: (string | undefined)[];
  let answer: () => TestAdmission<Stream>;
  let listeners: Map<string, Set<() => void>>;
  const given: TestAdmission<Stream>[] = [];
  const open: WebSocket[] = [];

  beforeEach(async () => {
    clock = new FakeClock();
    asked = 0;
    tokens = [];
    given.splice(0);
    listeners = new Map();
    const nothing = { [Symbol.dispose]: () => {} };
    ({ host } = loopbackHost({
      clock,
      live: {
        streams: () => undefined,
        mostReaders: 0,
        onChange: () => nothing,
        onStream(name, run) {
          const runs = listeners.get(name) ?? new Set();
          listeners.set(name, runs.add(run));
          return { [Symbol.dispose]: () => void runs.delete(run) };
        },
      },
      play: async ({ query }) => {
        asked++;
        tokens.push(query["tkn"]);
        const admitted = answer();
        given.push(admitted);
        return admitted.admission;
      },
    }));
    await http.serve?.(host, {});
    ({ port } = await host.listenHttp());
  });
  afterEach(async () => {
    for (const socket of open.splice(0)) socket.terminate();
    await host[Symbol.asyncDispose]();
  });

  const playing = (name: string): MemoryStream => {
    const memory = new MemoryStream(name);
    memory.writer.describe([videoTrack({ id: 1, width: 1280, height: 720 })]);
    memory.writer.write(tinyPacket(1, 0, true));
    return memory;
  };
  const offline = (): never => {
    throw new SluiceError("access.offline", "nobody publishes it");
  };

  const connect = (path: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    open.push(socket);
    const frames: Info[] = [];
    let cookie: string[] | undefined;
    socket.on("upgrade", ({ headers }) => (cookie = headers["set-cookie"]));
    socket.on("message", (data) => void frames.push(JSON.parse(String(data)) as Info));
    socket.on("error", () => {});
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    return {
      socket,
      frames,
      closed,
      cookie: () => cookie,
      /** Lets time pass until so many have come. */
      until: (count: number) =>
        expect
          .poll(async () => {
            await clock.advance(50);
            return frames.length;
          })
          .toBe(count),
    };
  };

  it("sends what the same address answers, at once and when tracks change, and nothing in between", async () => {
    const memory = playing("the+secret");
    answer = () => admit(memory.stream);
    const page = connect("/json_live.js?user=anna");
    await page.until(1);
    expect(page.frames[0]).toEqual(await (await fetch(`http://127.0.0.1:${port}/json_live.js?user=anna`)).json());
    expect([page.cookie(), asked]).toEqual([["tkn=t1; Max-Age=600"], 2]);
    for (let ms = 40; ms < 400; ms += 40) memory.writer.write(tinyPacket(1, ms, true));
    await clock.advance(5000);
    memory.writer.describe([...memory.tracks, audioTrack({ id: 2 })]);
    await page.until(2);
    expect(Object.keys(page.frames[1]?.meta?.tracks ?? {})).toHaveLength(2);
    expect([asked, JSON.stringify(page.frames).includes("secret"), given[0]?.disposed()]).toEqual([2, false, false]);
    page.socket.close();
    await expect.poll(() => given[0]?.disposed()).toBe(true);
  });

  it("tells when the stream comes, and when it goes", async () => {
    answer = offline;
    const page = connect("/json_live.js");
    await page.until(1);
    expect(page.frames[0]).toEqual({ error: "Stream is offline", error_guru: "nobody publishes it" });
    const memory = playing("live");
    answer = () => admit(memory.stream);
    for (const run of listeners.get("live") ?? []) run();
    await page.until(2);
    expect(page.frames[1]).toMatchObject({ type: "live", width: 1280 });
    answer = offline;
    memory.close({ code: "CLEAN_EOF", text: "over" });
    await page.until(3);
    expect(tokens).toEqual([undefined, undefined, "t1"]);
    expect([page.frames[2]?.["error"], given[0]?.disposed(), page.socket.readyState]).toEqual(["Stream is offline", true, WebSocket.OPEN]);
  });

  it("asks now and then for a name that leads to another stream", async () => {
    answer = offline;
    const page = connect("/json_tok-1.js");
    await page.until(1);
    const memory = playing("hidden");
    answer = () => admit(memory.stream);
    await clock.advance(8000);
    await page.until(2);
    expect([page.frames[1]?.["type"], asked]).toEqual(["live", 2]);
  });

  it("follows from what stands in to the stream when it is back, once the viewer's session has let go", async () => {
    const [recording, live] = [playing("recording"), playing("live")];
    answer = () => admit(recording.stream, { redirected: true });
    const page = connect("/json_live.js");
    await page.until(1);
    expect(page.frames[0]?.["redirected"]).toEqual(["live", "live"]);
    await clock.advance(60_000);
    expect([asked, given[0]?.disposed()]).toEqual([1, false]);
    answer = () => admit(live.stream);
    for (const run of listeners.get("live") ?? []) run();
    await settle();
    expect([asked, given[0]?.disposed()]).toEqual([1, true]);
    await clock.advance(16_000);
    await page.until(2);
    expect(page.frames[1]).not.toHaveProperty("redirected");
  });

  it("says no to who may not watch, at first or later, and closes", async () => {
    answer = () => {
      throw new SluiceError("access.denied", "please subscribe");
    };
    const page = connect("/json_live.js");
    expect(await page.closed).toBe(1008);
    const no = { error: "Could not retrieve stream. Sorry.", error_guru: "please subscribe", refused: true };
    expect(page.frames).toEqual([no]);

    const memory = playing("live");
    answer = () => admit(memory.stream);
    const later = connect("/json_live.js");
    await later.until(1);
    answer = () => {
      throw new SluiceError("access.denied", "please subscribe");
    };
    given.at(-1)?.withdraw(new SluiceError("access.denied", "please subscribe"));
    expect(await later.closed).toBe(1008);
    expect(later.frames.slice(1)).toEqual([no]);
  });

  it("pings, so that nobody between closes it", async () => {
    answer = offline;
    const page = connect("/json_live.js");
    await page.until(1);
    let pings = 0;
    page.socket.on("ping", () => pings++);
    await clock.advance(10_000);
    await expect.poll(() => pings).toBe(1);
  });
});
