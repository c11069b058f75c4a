import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { openPublisher } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const keys = { now: "the-key-that-signs-now", before: "the-key-of-last-month" };

/** Runs the command as a shell would; gives what it has printed. */
async function command(sluice: Sluice, ...words: readonly string[]): Promise<string> {
  await using child = startChild(process.execPath, [`${root}/src/cli.ts`, ...words], {
    cwd: sluice.folder,
    env: { ...process.env, SLUICE_API: `http://127.0.0.1:${sluice.ports.api}` },
  });
  expect([await child.exited, child.stderr()]).toEqual([0, ""]);
  return child.stdout().trim();
}

describe("the policy accessControl with ffmpeg", () => {
  let sluice: Sluice;
  let encoder: Child;
  beforeAll(async () => {
    sluice = await startSluice({
      config: {
        streams: { live: { source: "push://" }, other: { source: "push://" } },
        policies: { door: { use: "accessControl", rules: [{ signed: keys }] } },
      },
    });
    encoder = startEncoder(sluice.rtmp("live/live"));
    const url = await command(sluice, "sign", sluice.http("json_live.js"));
    await vi.waitFor(async () => expect((await get(url)).text).toContain("H264"), { timeout: 20_000, interval: 100 });
  });
  afterAll(async () => {
    await encoder?.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  it("plays signed addresses on FLV, HLS and RTMP, and refuses those without, also inside of a playlist", async () => {
    for (const url of [sluice.http("live.flv"), sluice.http("hls/live/index.m3u8"), sluice.rtmp("play/live")]) {
      const played = await playWithFfmpeg(await command(sluice, "sign", url, "--ip", "127.0.0.1"), 1);
      expect(played.videoFrames, played.output).toBeGreaterThanOrEqual(20);
      expect((await playWithFfmpeg(await command(sluice, "sign", url, "--ip", "192.0.2.1"), 1)).videoFrames).toBe(0);
      expect((await playWithFfmpeg(url, 1)).videoFrames).toBe(0);
    }
    const signed = await command(sluice, "sign", sluice.http("hls/live/index.m3u8?tkn=reader"));
    const master = (await get(signed)).text;
    const [media = ""] = master.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(media).toContain("signature=");
    expect(
      (await get(new URL(media, signed).href.replace(/tkn=[^&]*/, "tkn=other").replace(/signature=[^&]*/, "signature=x"))).status,
    ).toBe(403);
  });

  it("ends who watches when the address expires; a fresh one goes on", async () => {
    const begun = Date.now();
    using viewer = await view(await command(sluice, "sign", sluice.http("live.flv?tkn=brief"), "--expires", "3s"));
    expect(viewer.status).toBe(200);
    await viewer.closed;
    expect(Date.now() - begun).toBeGreaterThan(2_000);
    const fresh = await command(sluice, "sign", sluice.http("live.flv?tkn=brief"));
    await vi.waitFor(
      async () => {
        using again = await view(fresh);
        expect(again.status).toBe(200);
        await again.atLeast(10_000);
      },
      { timeout: 15_000, interval: 200 },
    );
  });

  it("names rule and policy in the trace, and shows no key", async () => {
    const { headers } = await get(sluice.http("live.flv?tkn=curious"));
    const why = await command(sluice, "why", headers.get("x-sluice-decision") ?? "");
    expect(why).toContain("policy door");
    expect(why).toContain("accessControl: rule 1");
    const api = `http://127.0.0.1:${sluice.ports.api}/api/v1`;
    for (const text of [
      await (await fetch(`${api}/policies`)).text(),
      await (await fetch(`${api}/config`)).text(),
      JSON.stringify(await sluice.api({ config: {}, config_backup: true })),
      sluice.child.stderr(),
    ])
      for (const key of Object.values(keys)) expect(text).not.toContain(key);
  });

  it("is put in force and taken away by command while the server runs, and stays over a restart", async () => {
    const push = async (name: string): Promise<string> => {
      try {
        (await openPublisher(sluice.ports.rtmp, name)).socket.destroy();
        return "in";
      } catch {
        return "refused";
      }
    };
    await command(sluice, "policy", "set", "pushTokens", 'streams=["other"]');
    const token = await command(sluice, "token", "push", "create", "other");
    expect([await push("other"), await push(token)]).toEqual(["refused", "in"]);
    expect(await command(sluice, "policy", "list")).toContain("pushTokens");
    sluice.child.process.kill("SIGKILL");
    await sluice.child.exited;
    sluice = await sluice.again();
    expect([await push("other"), await push(token)]).toEqual(["refused", "in"]);
    const put = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/policies/pushTokens`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ use: "pushTokens", streams: ["nothing"] }),
    });
    expect(put.status).toBe(200);
    await expect.poll(() => push("live"), { timeout: 10_000 }).toBe("in");
    await command(sluice, "policy", "remove", "pushTokens");
    expect(await command(sluice, "policy", "list")).not.toContain("pushTokens");
  });
});
