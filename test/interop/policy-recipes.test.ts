import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get } from "../support/viewer.ts";

const page = (name: string): string => readFileSync(join(root, `docs/recipes/${name}.md`), "utf8");
const config = (name: string): string => /^```ts\n(.*?)^```/ms.exec(page(name))?.[1] ?? "";
const lines = (name: string): readonly string[] => (/^```sh\n(.*?)^```/ms.exec(page(name))?.[1] ?? "").trim().split("\n");

/** Runs the page's command lines in a shell, with `sluice` as it stands there. Gives what each has printed. */
async function runLines(sluice: Sluice, name: string): Promise<readonly string[]> {
  const printed: string[] = [];
  for (const line of lines(name)) {
    const text = line
      .replace(/^sluice /, `"${process.execPath}" "${join(root, "src/cli.ts")}" `)
      .replaceAll(":8080", `:${sluice.ports.http}`);
    await using child = startChild("/bin/sh", ["-c", text], {
      cwd: sluice.folder,
      env: { ...process.env, SLUICE_API: `http://127.0.0.1:${sluice.ports.api}` },
    });
    expect([line, await child.exited, child.stderr()]).toEqual([line, 0, ""]);
    printed.push(child.stdout().trim());
  }
  return printed;
}

const plays = (url: string): Promise<void> =>
  expect.poll(async () => (await get(url)).text, { timeout: 20_000 }).toContain("H264") as Promise<void>;

describe("the recipes of policies", () => {
  it("push tokens", async () => {
    await using sluice = await startSluice({ config: config("push-tokens") });
    const [week = "", studio = "", list = ""] = await runLines(sluice, "push-tokens");
    expect([week.length, studio.length]).toEqual([32, 24]);
    expect(list).toMatch(/live\+\$name\s+│?\s*studio-2/);
    const first = await publishSample(sluice.ports.rtmp, week);
    await plays(sluice.http("json_live.js"));
    const second = await publishSample(sluice.ports.rtmp, studio);
    await plays(sluice.http("json_live+studio-2.js"));
    await expect(publishSample(sluice.ports.rtmp, "live")).rejects.toThrow();
    first.socket.destroy();
    second.socket.destroy();
  });

  it("view tokens", async () => {
    await using sluice = await startSluice({ config: config("view-tokens") });
    const tokens = await runLines(sluice, "view-tokens");
    const publisher = await publishSample(sluice.ports.rtmp, "concert");
    await plays(sluice.http(`json_${tokens[2]}.js?tkn=first-of-them`));
    for (const token of tokens) expect((await get(sluice.http(`json_${token}.js?tkn=session-of-${token}`))).status).toBe(200);
    expect((await get(sluice.http(`json_${tokens[0]}.js?tkn=somebody-else`))).text).toContain("this token has no uses left");
    expect((await get(sluice.http("json_concert.js"))).status).toBe(403);
    expect((await get(sluice.http("live.json"))).text).not.toContain("concert");
    publisher.socket.destroy();
  });

  it("access control", async () => {
    await using sluice = await startSluice({ config: config("access-control") });
    const publishers = await Promise.all(["live", "club", "news"].map((name) => publishSample(sluice.ports.rtmp, name)));
    const [flv = "", hls = ""] = await runLines(sluice, "access-control");
    const info = (stream: string, headers: Record<string, string> = {}, query = "") =>
      get(sluice.http(`json_${stream}.js${query}`), headers);
    await plays(sluice.http(`json_live.js${new URL(flv).search}&tkn=ann`));
    expect((await get(sluice.http(`hls/live/index.m3u8${new URL(flv).search}&tkn=ben`))).text).toContain(
      new URLSearchParams(new URL(flv).search).get("signature"),
    );
    expect((await get(hls)).text).toContain("this address is for another client");
    expect((await info("live", {}, "?tkn=a")).text).toContain("this address needs a signature");
    expect((await info("live", { "user-agent": "Googlebot" }, `${new URL(flv).search}&tkn=b`)).text).toContain("no machines, please");
    expect((await info("club", { cookie: "session=session-of-ann" }, "?tkn=c")).status).toBe(200);
    expect((await info("club", {}, "?tkn=d")).text).toContain("please log in first");
    expect((await info("news", { referer: "https://example.com/today" }, "?tkn=e")).status).toBe(200);
    expect((await info("news", {}, "?tkn=f")).status).toBe(403);
    for (const { socket } of publishers) socket.destroy();
  });
});
