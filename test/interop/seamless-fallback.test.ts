import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBrowser } from "../support/browser.ts";
import type { Child } from "../support/child.ts";
import { type Decided, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { probeTimes } from "../support/ffprobe-packets.ts";
import { HlsWatcher } from "../support/hls-watcher.ts";
import { openPlayer, type RunningPlayer } from "../support/page-player.ts";
import { startChild } from "../support/child.ts";

const rule = { minOutage: 0, minStable: 0 };
const streams = {
  live: { source: "push://", segmentsize: 1000, fallback: { sources: ["slate"], ...rule } },
  quiet: { source: "push://", segmentsize: 1000, fallback: { sources: ["mute"], ...rule } },
  slate: { source: "push://" },
  mute: { source: "push://" },
};

/** A publisher that is killed again and again, and those who watch it meanwhile. */
describe("viewers of a stream whose publisher is killed again and again", () => {
  let server: Decided;
  const slates: Child[] = [];
  let publishers: Child[] = [];

  const said = (words: string): number =>
    server.sluice.child.stdout().split(words).length + server.sluice.child.stderr().split(words).length - 2;
  const back = "its viewers are taken back to it";
  const away = "The stream is offline; its viewers are shown";

  function publish(...names: readonly string[]): void {
    // Where each picture is a keyframe the last one before a kill is, too: that is what players of FLV stumble over.
    publishers = names.map((name) => startEncoder(server.sluice.rtmp(`live/${name}`), { size: "640x360", gop: name === "quiet" ? 1 : 25 }));
  }

  /** Kills those who push, and goes on when all viewers see something else. */
  async function kill(): Promise<void> {
    const before = said(away);
    const killed = publishers;
    await Promise.all(killed.map((one) => one.stop("SIGKILL")));
    await expect.poll(() => said(away), { timeout: 10_000 }).toBe(before + killed.length);
  }

  async function comeBack(...names: readonly string[]): Promise<void> {
    const before = said(back);
    publish(...names);
    await expect.poll(() => said(back), { timeout: 20_000 }).toBe(before + names.length);
  }

  async function ready(name: string): Promise<void> {
    await server.asked.called("STREAM_BUFFER", (call) => call.lines[0] === name && call.lines[1] === "FULL");
  }

  /** Another two segments are listed: the one that was open, and the first of what is shown now. */
  async function more(watcher: HlsWatcher): Promise<void> {
    const { segments } = watcher;
    await expect.poll(() => watcher.segments, { timeout: 20_000 }).toBeGreaterThan(segments + 1);
  }

  beforeAll(async () => {
    server = await startDecided("http", { USER_NEW: () => "true", USER_END: () => "", STREAM_BUFFER: () => "" }, { streams });
    slates.push(
      startEncoder(server.sluice.rtmp("live/slate"), { size: "320x180", pattern: "smptebars", gop: 50, mono: true }),
      startEncoder(server.sluice.rtmp("live/mute"), { size: "480x270", pattern: "smptebars", audio: false }),
    );
    await Promise.all([ready("slate"), ready("mute")]);
  });
  afterAll(async () => {
    await Promise.all([...publishers, ...slates].map((one) => one.stop("SIGKILL")));
    await server?.[Symbol.asyncDispose]();
  });

  it("stay on one connection and one playlist through twenty kills, in time that rises", async () => {
    const { sluice, asked } = server;
    publish("live");
    await ready("live");
    const flv = probeTimes(sluice.http("live.flv?tkn=flv"));
    const rtmp = probeTimes(sluice.rtmp("play/live?tkn=rtmp"));
    const decoder = startChild("ffmpeg", [
      "-v",
      "warning",
      "-nostdin",
      "-i",
      sluice.http("live.flv?tkn=decoder"),
      "-fps_mode",
      "passthrough",
      "-f",
      "null",
      "-",
    ]);
    const hls = new HlsWatcher(sluice.http("hls/live/index.m3u8?tkn=hls"));
    await hls.start();
    await expect.poll(() => asked.of("USER_NEW").length).toBe(4);
    const sessions = asked.of("USER_NEW").map(({ lines }) => lines[5]);
    for (let outage = 0; outage < 20; outage++) {
      await kill();
      await more(hls);
      await comeBack("live");
      await more(hls);
    }
    expect(said("was ended") + said("no publisher has continued")).toBe(0);
    const watched = await hls.stop();
    expect([flv, rtmp].map(({ child }) => child.process.exitCode)).toEqual([null, null]);
    expect(asked.of("USER_NEW").map(({ lines }) => lines[5])).toEqual(sessions);
    expect(asked.of("USER_END")).toEqual([]);

    expect(watched.faults).toEqual([]);
    // There and back, twenty times.
    expect(watched.breaks.length).toBeGreaterThanOrEqual(40);
    const folder = join(sluice.folder, "watched.ts");
    writeFileSync(folder, Buffer.concat(watched.segments));
    const ofHls = await probeTimes(folder).times;

    // The command ends whoever watches, as it does without a fallback.
    await sluice.api({ nuke_stream: "live" });
    const seen = { flv: await flv.times, rtmp: await rtmp.times, hls: ofHls };
    for (const [output, tracks] of Object.entries(seen)) {
      expect([output, tracks.size]).toEqual([output, 2]);
      for (const [track, times] of tracks) {
        const steps = times.slice(1).map((time, at) => time - (times[at] ?? 0));
        expect([output, track, steps.filter((step) => step <= 0)]).toEqual([output, track, []]);
        // Nothing is missed that a player would stop at; HLS leaves out what was left of a segment, at most.
        expect([output, track, steps.filter((step) => step > 0.5)]).toEqual([output, track, []]);
      }
    }
    expect(await decoder.exited).toBe(0);
    expect(decoder.stderr()).not.toMatch(/corrupt|conceal|error while decoding|no frame|invalid data/i);
    await expect.poll(() => asked.of("USER_END").length, { timeout: 30_000 }).toBe(4);
    await publishers[0]?.stop("SIGKILL");
  }, 240_000);

  it("are moved to another stream and back by the API, on the same connections; the publisher goes on", async () => {
    const { sluice, asked } = server;
    publish("live");
    await ready("live");
    const flv = probeTimes(sluice.http("live.flv?tkn=moved-flv"));
    const rtmp = probeTimes(sluice.rtmp("play/live?tkn=moved-rtmp"));
    const hls = new HlsWatcher(sluice.http("hls/live/index.m3u8?tkn=moved-hls"));
    await hls.start();
    await more(hls);
    const mine = (): number => asked.of("USER_NEW").filter(({ lines }) => lines[2]?.startsWith("moved-")).length;
    await expect.poll(mine, { timeout: 20_000 }).toBe(3);
    const pushed = asked.of("STREAM_BUFFER").filter(({ lines }) => lines[1] === "EMPTY").length;
    const move = async (to: string): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/streams/live/move`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ to }),
      });
      return response.status;
    };
    const shows = async (): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/streams/live`);
      return ((await response.json()) as { fallback?: { shows: string } }).fallback?.shows;
    };
    expect(await move("nowhere")).toBe(404);
    for (let times = 0; times < 3; times++) {
      expect(await move("slate")).toBe(204);
      await expect.poll(shows).toBe("slate");
      await more(hls);
      expect(await move("live")).toBe(204);
      await expect.poll(shows, { timeout: 10_000 }).toBe("live");
      await more(hls);
    }
    const watched = await hls.stop();
    expect(watched.faults).toEqual([]);
    expect(watched.breaks.length).toBeGreaterThanOrEqual(6);
    expect(publishers[0]?.process.exitCode).toBeNull();
    expect(mine()).toBe(3);
    expect(asked.of("STREAM_BUFFER").filter(({ lines }) => lines[1] === "EMPTY")).toHaveLength(pushed);
    await sluice.api({ nuke_stream: "live" });
    for (const tracks of [await flv.times, await rtmp.times])
      for (const times of tracks.values()) {
        const steps = times.slice(1).map((time, at) => time - (times[at] ?? 0));
        expect(steps.filter((step) => step <= 0 || step > 0.5)).toEqual([]);
      }
    await publishers[0]?.stop("SIGKILL");
  }, 120_000);

  it("see no fatal error and do not connect anew in hls.js and mpegts.js, with a slate without sound, too", async () => {
    const { sluice } = server;
    publish("live", "quiet");
    await Promise.all([ready("live"), ready("quiet")]);
    await using browser = await startBrowser();
    const players: RunningPlayer[] = [];
    for (const name of ["live", "quiet"])
      for (const kind of ["hls", "flv"] as const) players.push(await openPlayer(await browser.newPage(), sluice, kind, name));
    for (let outage = 0; outage < 3; outage++) {
      for (const player of players) await player.plays(2);
      await kill();
      for (const player of players) await player.plays(4);
      await comeBack("live", "quiet");
    }
    for (const player of players) await player.plays(6);
    for (const player of players) {
      const { fatal, opened, sizes } = await player.facts();
      expect([player.name, fatal, opened]).toEqual([player.name, [], 1]);
      expect(sizes.length, player.name).toBeGreaterThanOrEqual(2);
    }
  }, 200_000);
});
