import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { RtmpClient } from "../support/rtmp-client.ts";
import type { TriggerCall } from "../support/trigger-server.ts";
import { view } from "../support/viewer.ts";

/** What MistServer was seen to do badly, the publishers' and streams' part. The numbers are the items of the observations' section 11. */
describe("weak points of MistServer that publishers and streams meet", () => {
  let scene: MistScene;

  beforeAll(async () => {
    scene = await startMistScene(["STREAM_BUFFER", "LIVE_TRACK_LIST", "STREAM_UNLOAD", "PUSH_REWRITE", "STREAM_PUSH", "STREAM_READY"], {
      streams: { live: { source: "push://" }, wild: { source: "push://" }, resumed: { source: "push://", resume: 1 } },
    });
  }, 60_000);
  afterAll(() => scene?.[Symbol.asyncDispose]());
  afterEach(() => scene.reset());

  /** A call that comes from now on. */
  function next(name: "STREAM_BUFFER" | "LIVE_TRACK_LIST" | "STREAM_UNLOAD", fits: (call: TriggerCall) => boolean, limitMs?: number) {
    const before = new Set(scene.asked.calls);
    return scene.asked.called(name, (call) => !before.has(call) && fits(call), limitMs);
  }

  /** Pushes, waits until the stream has tracks, runs `then`, and waits until it has ended. */
  async function pushed(path: string, stream: string, then: (encoder: Child) => Promise<void> = async () => {}): Promise<void> {
    const began = next("LIVE_TRACK_LIST", (call) => call.lines[0] === stream);
    const ended = next("STREAM_UNLOAD", (call) => call.lines[0] === stream, 60_000);
    await using encoder = startEncoder(scene.sluice.rtmp(`live/${path}`));
    await began;
    await then(encoder);
    await encoder.stop("SIGINT");
    await ended;
  }

  describe("5: another name, no, and no opinion are three different answers", () => {
    it("a handler that fails does not rename: the value stays, and is never the word `true`", async () => {
      scene.says.PUSH_REWRITE = () => ({ status: 500, body: "true" });
      await pushed("live", "live");
    });

    it("its `default` is the name that is taken then", async () => {
      await scene.configure(scene.table({ PUSH_REWRITE: [{ handler: scene.asked.url, sync: true, default: "wild+backup" }] }));
      scene.says.PUSH_REWRITE = () => ({ status: 500, body: "" });
      await pushed("anything", "wild+backup");
    });

    it("for viewers too: PLAY_REWRITE, STREAM_SOURCE and DEFAULT_STREAM that fail change nothing", async () => {
      const entry = [{ handler: scene.asked.url, sync: true }];
      await scene.configure(scene.table({ PLAY_REWRITE: entry, STREAM_SOURCE: entry, DEFAULT_STREAM: entry }));
      const fails = () => ({ status: 500, body: "true" });
      Object.assign(scene.says, { PLAY_REWRITE: fails, STREAM_SOURCE: fails, DEFAULT_STREAM: fails });
      await pushed("live", "live", async () => {
        using viewer = await view(scene.sluice.http("live.flv"));
        await viewer.atLeast(5_000);
        using nobody = await view(scene.sluice.http("nosuch.flv"));
        expect(nobody.status).toBe(404);
      });
      expect(scene.asked.of("DEFAULT_STREAM")).not.toEqual([]);
    });
  });

  it("6: an answer that is a name is trimmed, wherever it is asked for", async () => {
    scene.says.PUSH_REWRITE = () => " wild+nl\r\n";
    await scene.configure(scene.table({ DEFAULT_STREAM: [{ handler: scene.asked.url, sync: true }] }));
    scene.says.DEFAULT_STREAM = () => "wild+nl\n";
    await pushed("live", "wild+nl", async () => {
      const { active_streams: names } = await scene.sluice.api({ active_streams: true });
      expect(names).toContain("wild+nl");
      using viewer = await view(scene.sluice.http("nosuch.flv"));
      await viewer.atLeast(5_000);
    });
  });

  it("3: a line break in the name that is pushed to adds no line", async () => {
    scene.mark();
    scene.says.PUSH_REWRITE = () => "";
    await using client = new RtmpClient(scene.sluice.ports.rtmp);
    client.connect("live", { tcUrl: `rtmp://127.0.0.1:${scene.sluice.ports.rtmp}/live` });
    client.command("createStream", null);
    client.command("publish", null, "live\nlive\nFAKE", "live");
    await client.status("NetStream.Publish.Denied");
    const [call] = scene.since("PUSH_REWRITE");
    expect(call?.lines).toHaveLength(3);
    expect(call?.lines[1]).toBe("127.0.0.1");
    expect(call?.lines[2]).not.toMatch(/\n|\r/);
  });

  describe("9: the state of a stream is told when it changes", () => {
    it("DRY comes while the encoder is frozen, not when it is back", async () => {
      const full = next("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
      await pushed("live", "live", async (encoder) => {
        // On a busy machine it may begin with other issues; then it is DRY already.
        if ((await full).lines[2]?.includes('"issues"')) await next("STREAM_BUFFER", (call) => call.lines[1] === "RECOVER", 50_000);
        const dry = next("STREAM_BUFFER", (call) => call.lines[0] === "live" && call.lines[1] === "DRY");
        encoder.process.kill("SIGSTOP");
        try {
          expect(JSON.parse((await dry).lines[2] ?? "")).toMatchObject({ issues: expect.stringMatching(/no data for \d+ms/) });
        } finally {
          encoder.process.kill("SIGCONT");
        }
      });
    });

    it("EMPTY comes when a publisher leaves a stream that may be resumed, FULL when it is back", async () => {
      const full = next("STREAM_BUFFER", (call) => call.lines[0] === "resumed" && call.lines[1] === "FULL");
      const first = startEncoder(scene.sluice.rtmp("live/resumed"));
      await full;
      const empty = next("STREAM_BUFFER", (call) => call.lines[0] === "resumed" && call.lines[1] === "EMPTY");
      await first.stop("SIGINT");
      expect((await empty).lines).toHaveLength(2);
      const again = next("STREAM_BUFFER", (call) => call.lines[0] === "resumed" && call.lines[1] === "FULL");
      await using second = startEncoder(scene.sluice.rtmp("live/resumed"));
      await again;
      // It was the same stream all the time: no second STREAM_READY.
      expect(scene.asked.of("STREAM_READY").filter(({ lines }) => lines[0] === "resumed")).toHaveLength(1);
      await second.stop("SIGINT");
    });

    it("STREAM_UNLOAD tells in one word whether a no can keep the stream", async () => {
      // The word and the reason stand together without a space, as MistServer's handlers know it: the word is what counts.
      await pushed("live", "live");
      const [call] = scene.asked.of("STREAM_UNLOAD");
      expect(call?.lines).toHaveLength(3);
      expect(call?.lines[2]).toMatch(/^uncancelable./);
    });
  });

  describe("14: a push is asked about before anything of the stream exists", () => {
    it("a refused one starts nothing and is seen by nobody", async () => {
      scene.says.STREAM_PUSH = () => "false";
      scene.mark();
      await using encoder = startEncoder(scene.sluice.rtmp("live/wild+refused"), { seconds: 20 });
      expect(await encoder.exited).not.toBe(0);
      expect(scene.since().map(({ name }) => name)).toEqual(["PUSH_REWRITE", "STREAM_PUSH"]);
      expect((await scene.sluice.api({ active_streams: true })).active_streams ?? []).not.toContain("wild+refused");
    });

    it("an accepted one is asked STREAM_PUSH first, then announced", async () => {
      scene.mark();
      await pushed("wild+accepted", "wild+accepted");
      expect(
        scene
          .since()
          .map(({ name }) => name)
          .slice(0, 4),
      ).toEqual(["PUSH_REWRITE", "STREAM_PUSH", "STREAM_READY", "LIVE_TRACK_LIST"]);
    });
  });

  it("8: `firstms` moves with the buffer instead of being 0 for ever", async () => {
    await scene.sluice.api({ addstream: { wild: { source: "push://", DVR: 2000, segmentsize: 500 } } });
    await pushed("wild+window", "wild+window", async () => {
      const firstMs = async (): Promise<number> => {
        const { active_streams: answer } = await scene.sluice.api({ active_streams: ["firstms"] });
        return Number((answer as Record<string, unknown[]>)["wild+window"]?.[0]);
      };
      await vi.waitFor(async () => expect(await firstMs()).toBeGreaterThan(0), { timeout: 30_000, interval: 250 });
    });
  });
});
