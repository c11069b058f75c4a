import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { tryRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const secret = "t0ken-of-a-thief";

type Ran = { readonly code: number | NodeJS.Signals; readonly out: string; readonly err: string };

describe("a running server is looked at and steered by the sluice command", () => {
  let sluice: Sluice;
  let encoder: Child;
  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    SLUICE_API: `http://127.0.0.1:${sluice.ports.api}`,
    FORCE_COLOR: undefined,
  });
  const run = async (...words: readonly string[]): Promise<Ran> => {
    const child = startChild(process.execPath, [join(root, "src/cli.ts"), ...words], { env: environment() });
    const code = await child.exited;
    return { code, out: child.stdout(), err: child.stderr() };
  };
  const told = async (...words: readonly string[]): Promise<string> => {
    const { code, out, err } = await run(...words);
    expect({ words, code, err }).toEqual({ words, code: 0, err: "" });
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(out).not.toMatch(/\u001b/);
    return out;
  };

  beforeAll(async () => {
    const page = readFileSync(join(root, "docs/recipes/why.md"), "utf8");
    sluice = await startSluice({ config: /^```ts\n(.*?)^```/ms.exec(page)?.[1] ?? "" });
    encoder = startEncoder(sluice.rtmp("live/live"));
    const info = async (): Promise<string> => (await get(sluice.http("json_live.js?user=ben&tkn=probe"))).text;
    await vi.waitFor(async () => expect(await info()).toContain("H264"), { timeout: 20_000, interval: 100 });
  });
  afterAll(async () => {
    await encoder?.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  describe("why", () => {
    it("explains the number in a refused HTTP viewer's answer: handler, words, time; by address and token, too, without the token", async () => {
      const answer = await get(sluice.http(`live.flv?user=eve&tkn=${secret}`));
      expect(answer.status).toBe(403);
      const id = /^decision ([0-9A-Z]{10})$/m.exec(answer.text)?.[1] ?? "";
      const page = await told("why", id);
      expect(page).toMatch(new RegExp(`^${id} {2}refused {2}`));
      expect(page).toMatch(/told +please subscribe first\n/);
      expect(page).toMatch(/decided by +USER_NEW function "subscription"\n/);
      expect(page).toMatch(
        /\d+(\.\d)? ms {2}USER_NEW +function "subscription" says no "please subscribe first"; note: not among the subscribers/,
      );
      const ms = Number(/([\d.]+) ms {2}USER_NEW/.exec(page)?.[1]);
      expect(ms).toBeGreaterThan(3);
      const call = /sluice triggers show (\S+)\)/.exec(page)?.[1] ?? "";
      expect(await told("triggers", "show", call)).toContain('deny "please subscribe first"');

      for (const what of [secret, "127.0.0.1"]) expect(await told("why", what, "--limit", "1000")).toContain(id);
      const [json, all] = [await told("why", id, "--json"), await told("why", "127.0.0.1", "--json", "--limit", "1000")];
      expect(JSON.parse(json)).toMatchObject({ items: [{ id, result: "deny", reason: "please subscribe first", protocol: "FLV" }] });
      const { items } = JSON.parse(json) as { items: readonly { tokenHash: string; sessionId: string }[] };
      expect(await told("why", items[0]?.tokenHash ?? "")).toContain(id);
      expect(await told("why", items[0]?.sessionId.slice(0, 8) ?? "")).toContain(id);
      for (const text of [page, json, all, sluice.child.stderr()]) expect(text).not.toContain(secret);
      expect(sluice.child.stdout()).not.toContain(secret);
    });

    it("explains the number that a refused ffmpeg prints, and that of an RTMP player", async () => {
      const { description = "" } = await tryRtmp(sluice.ports.rtmp, "live?user=eve");
      const rtmp = /^please subscribe first \(decision ([0-9A-Z]{10})\)$/.exec(description)?.[1] ?? "";
      expect(await told("why", rtmp)).toMatch(/watch over RTMP from 127\.0\.0\.1\n[^]*told +please subscribe first/);
      const { output } = await playWithFfmpeg(sluice.rtmp("play/live?user=eve"), 1);
      const shown = /\(decision ([0-9A-Z]{10})\)/.exec(output)?.[1] ?? "";
      expect(await told("why", shown)).toContain('USER_NEW function "subscription"');
    });

    it("explains who is in, with the counters of limits, and whom a limit has refused", async () => {
      using one = await view(sluice.http("live.flv?user=ann&tkn=a1"));
      using two = await view(sluice.http("live.flv?user=ann&tkn=a2"));
      const full = await get(sluice.http("live.flv?user=ann&tkn=a3"));
      expect([one.status, two.status, full.status]).toEqual([200, 200, 503]);
      const page = await told("why", "a2");
      expect(page).toMatch(/^\S+ {2}let in /);
      expect(page).toMatch(/user +ann\n/);
      expect(page).toMatch(/limit +two-per-user \(user\): 2 of 2 sessions/);
      const refused = await told("why", /^decision (\S+)$/m.exec(full.text)?.[1] ?? "");
      expect(refused).toMatch(/decided by +limit two-per-user\n/);
      expect(refused).toMatch(/limit +two-per-user \(user\): 2 of 2 sessions, reached/);
    });

    it("says so when it knows nothing, without repeating what may be a token", async () => {
      const { code, out, err } = await run("why", "unheard-of-token");
      expect([code, err]).toEqual([1, ""]);
      expect(out).toMatch(/^No decision is known/);
      expect(out).not.toContain("unheard-of-token");
    });
  });

  it("shows status, streams and sessions as tables and as JSON", async () => {
    using viewer = await view(sluice.http("live.flv?user=ben&tkn=b1"));
    await viewer.atLeast(10_000);
    const status = await told("status");
    expect(status).toMatch(/^server +Sluice \d+\.\d+\.\d+, up /);
    expect(status).toMatch(/^streams +1 live, 1 running, 1 configured$/m);
    expect(status).toMatch(/^viewers +[1-9]\d*, and 1 publisher$/m);
    expect(status).toMatch(/^traffic +\d[\d.]* [kM]?bit\/s out, \d[\d.]* [kM]?bit\/s in$/m);
    expect(status).toMatch(/^limits reached +/m);
    expect(status).toMatch(/^handlers down +none$/m);
    expect(status).toMatch(/^outbox +empty$/m);
    expect(JSON.parse(await told("status", "--json"))).toMatchObject({
      streams: { live: 1 },
      limitsReached: expect.any(Array),
      breakers: [],
    });
    expect((await told("streams")).split("\n")[0]).toMatch(/^STREAM +STATE +VIEWERS +PUBLISHERS +OUT +IN +CODECS/);
    expect(await told("streams", "--live")).toMatch(/^live +ready +[1-9]\d* +1 +\d.* [kM]?B +.*h264/m);
    expect(await told("streams", "--prefix", "nothing")).toBe("There is no such stream.\n");
    expect(JSON.parse(await told("streams", "--json"))).toMatchObject({ items: [{ name: "live", state: "ready" }] });
    const sessions = await told("sessions", "--user", "ben", "--protocol", "FLV");
    expect(sessions.split("\n")[1]).toMatch(/^[0-9a-f]{12} +live +ben +FLV +127\.0\.0\.1 +\d+s +/);
    expect(JSON.parse(await told("sessions", "--user", "nobody", "--json"))).toEqual({ items: [] });
  });

  it("ends sessions by id, beginning of an id, and user; asks again about streams; says how many", async () => {
    using one = await view(sluice.http("live.flv?user=cleo&tkn=k1"));
    using two = await view(sluice.http("live.flv?user=cleo&tkn=k2"));
    await Promise.all([one.atLeast(1000), two.atLeast(1000)]);
    const { items } = JSON.parse(await told("why", "k1", "--json")) as { items: readonly { sessionId: string }[] };
    const id = items[0]?.sessionId ?? "";
    expect(await told("invalidate", "live")).toMatch(/^[2-9]\d* sessions asked about again\n$/);
    expect(await told("kick", id.slice(0, 12), "--reason", "no more for today")).toBe("1 session ended\n");
    await one.closed;
    expect(await told("why", id)).toMatch(/ended [^]*told +no more for today\n[^]*decided by +ended by a command/);
    expect(JSON.parse(await told("kick", "--user", "cleo", "--stream", "nothing", "--json"))).toEqual({ sessions: 1 });
    await two.closed;
    expect(JSON.parse(await told("invalidate", "--all", "--json"))).toEqual({ sessions: expect.any(Number) });
    for (const [words, error] of [
      [["kick"], "say whom"],
      [["kick", "ffff0000ffff"], "No session has an id that begins with ffff0000ffff"],
      [["invalidate"], "say about whom"],
      [["sessions", "--state", "gone"], "state must be one of"],
      [["streams", "--watch", "0"], "write seconds from"],
    ] as const) {
      const { code, out, err } = await run(...words);
      expect({ words, failed: code !== 0, out, lines: err.trim().split("\n").length }).toEqual({ words, failed: true, out: "", lines: 1 });
      expect(err).toContain(error);
    }
  });

  it("says in one line that no server is there, where it looked and what to do", async () => {
    for (const name of ["status", "streams", "sessions"]) {
      const { code, out, err } = await run(name, "--api", "http://127.0.0.1:1");
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toMatch(/^sluice: http:\/\/127\.0\.0\.1:1 cannot be reached: [^\n]+; is the server running, and is --api right\?\n$/);
    }
    const media = await run("streams", "--api", sluice.http(""));
    expect(media.code).toBe(1);
    expect(media.err.trim().split("\n")).toHaveLength(1);
  });

  it("shows a live view until it is interrupted, and ends in order", async () => {
    const child = startChild(process.execPath, [join(root, "src/cli.ts"), "streams", "--watch", "0.2"], { env: environment() });
    await child.printed(/(STREAM [^]*){3}/);
    expect(await child.stop("SIGINT")).toBe(0);
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(child.stdout()).not.toMatch(/\u001b/);
    const json = startChild(process.execPath, [join(root, "src/cli.ts"), "sessions", "--watch", "0.2", "--json"], { env: environment() });
    await json.printed(/\n.*\n/);
    expect(await json.stop("SIGINT")).toBe(0);
    for (const line of json.stdout().trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("items");
  });

  it("has colours and a screen of its own on a terminal only, and no colours with NO_COLOR", async () => {
    const onTerminal = (words: string, extra: NodeJS.ProcessEnv = {}) =>
      startChild("script", ["-qefc", `exec ${process.execPath} ${join(root, "src/cli.ts")} ${words}`, "/dev/null"], {
        // Node shows no colours where CI is set.
        env: { ...environment(), TERM: "xterm-256color", NO_COLOR: undefined, CI: undefined, ...extra },
      });
    const streams = onTerminal("streams");
    expect(await streams.exited).toBe(0);
    expect(streams.stdout()).toContain("\u001b[32mready\u001b[39m");
    const bare = onTerminal("streams", { NO_COLOR: "1" });
    expect(await bare.exited).toBe(0);
    expect(bare.stdout()).toContain("ready");
    expect(bare.stdout()).not.toContain("\u001b[32m");
    const live = onTerminal("streams --watch 0.2");
    await live.printed(/ready[^]*ready/);
    expect(live.stdout()).toContain("\u001b[?1049h");
    await live.stop("SIGINT");
  });
});
