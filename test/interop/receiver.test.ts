import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { MistClient } from "../../src/receiver/index.ts";
import { openStore } from "../../src/store/store.ts";
import { type Child, startChild } from "../support/child.ts";
import { freePort } from "../support/free-port.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const password = "the password of the account";
const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** The page's configuration. */
const recipe = /^```ts\n(.*?)^```/ms.exec(readFileSync(join(root, "docs/recipes/receiver.md"), "utf8"))?.[1] ?? "";

/** A server that stands for a MistServer: nothing of it is used but MistServer's API and triggers. Who is on its machine has to log in, too. */
async function startMist(): Promise<Sluice> {
  const sluice = await startSluice({
    config: `export default { streams: { live: "push://" }, account: { admin: { password: "${md5(password)}" } }, apiLocalAccess: false };`,
  });
  closers.push(() => sluice[Symbol.asyncDispose]());
  return sluice;
}

function folder(config: string): string {
  const own = mkdtempSync(join(tmpdir(), "sluice-receiver-"));
  closers.push(() => rmSync(own, { recursive: true, force: true }));
  writeFileSync(join(own, "sluice.config.ts"), config);
  return own;
}

function startReceiver(cwd: string, mist: string, flags: readonly string[] = []): Child {
  const child = startChild(process.execPath, [join(root, "src/cli.ts"), "receiver", "--mist", mist, "--user", "admin", ...flags], {
    cwd,
    env: { ...process.env, SLUICE_MIST_PASSWORD: password },
  });
  closers.push(() => child.stop());
  return child;
}

async function triggersOf(mist: Sluice): Promise<Readonly<Record<string, unknown>>> {
  await using client = new MistClient({ url: `http://127.0.0.1:${mist.ports.api}`, username: "admin", password });
  return await client.triggers();
}

describe("sluice receiver", () => {
  it("lets the recipe's configuration decide for a MistServer; nobody is let in while it is down, and nothing is left of it", async () => {
    const mist = await startMist();
    const own = folder(recipe);
    const api = `http://127.0.0.1:${mist.ports.api}`;
    const port = await freePort();
    const made = await (async () => {
      await using store = await openStore(join(own, "data"));
      return await store.tokens.create({ kind: "push", stream: "live" });
    })();
    const first = startReceiver(own, api, ["--port", `${port}`]);
    await first.printed(/The receiver is ready: .* answers .*PUSH_REWRITE/);

    await expect(publishSample(mist.ports.rtmp, "live")).rejects.toThrow();
    const publisher = await publishSample(mist.ports.rtmp, made.token, 60);
    closers.push(() => publisher.socket.destroy());
    const ann = (screen: number): string => mist.http(`live.flv?user=ann&tkn=${screen}`);
    await expect.poll(async () => (await get(mist.http("json_live.js?user=ann&tkn=1"))).text, { timeout: 20_000 }).toContain("H264");
    using viewer = await view(ann(1));
    expect(viewer.status).toBe(200);
    await viewer.atLeast(1000);
    expect([(await get(mist.http("live.flv?tkn=2"))).status, (await get(mist.http("live.flv?tkn=2"))).text]).toEqual([
      403,
      expect.stringContaining("please log in first"),
    ]);
    const second = await get(ann(3));
    expect([second.status, second.text]).toEqual([403, expect.stringContaining("only 1 session at a time")]);
    // The key is in the MistServer's configuration and nowhere else.
    const key = /\?key=([\w-]+)/.exec(JSON.stringify(await triggersOf(mist)))?.[1] ?? "";
    expect(key.length).toBeGreaterThanOrEqual(32);
    const forged = await fetch(`http://127.0.0.1:${port}/?key=${"x".repeat(32)}`, {
      method: "POST",
      headers: { "X-Trigger": "PUSH_REWRITE" },
      body: `a\nb\n${made.token}`,
    });
    expect([forged.status, await forged.text(), forged.headers.get("x-sluice-error")]).toEqual([
      200,
      "",
      expect.stringContaining("secret"),
    ]);

    await first.stop("SIGKILL");
    const down = await get(mist.http("live.flv?user=bob&tkn=4"));
    expect(down.status).toBe(403);
    await expect(publishSample(mist.ports.rtmp, made.token)).rejects.toThrow();
    // Who watched already goes on.
    expect(await Promise.race([viewer.closed.then(() => "ended"), Promise.resolve("watches")])).toBe("watches");

    const again = startReceiver(own, api, ["--port", `${port}`, "--remove-on-exit"]);
    await again.printed(/The receiver is ready/);
    expect(JSON.stringify(await triggersOf(mist))).not.toContain(key);
    using late = await view(mist.http("live.flv?user=cleo&tkn=5"));
    expect(late.status).toBe(200);
    expect(await again.stop("SIGTERM")).toBe(0);
    expect(await triggersOf(mist)).toEqual({});
    for (const child of [first, again]) {
      const said = child.stdout() + child.stderr();
      for (const secret of [key, password, made.token]) expect(said).not.toContain(secret);
    }
  });

  it.each([
    [
      "a policy that a MistServer has nothing for",
      'import { offlineFallback } from "sluice"; export default { policies: [offlineFallback({ sources: ["slate"] })] };',
      [],
      2,
      /cannot keep the viewers/,
    ],
    [
      "a key that would be cut",
      "export default { triggers: { USER_NEW: () => true } };",
      ["--public-url", `http://127.0.0.1/${"x".repeat(100)}`],
      2,
      /cuts it at 127/,
    ],
    ["a URL that is none", "export default {};", ["--public-url", "here"], 2, /--public-url here: it must be a URL/],
    ["a port that is none", "export default {};", ["--port", "http"], 2, /--port http: it must be a number/],
  ] as const)("ends with what is wrong: %s", async (_what, config, flags, code, words) => {
    const mist = await startMist();
    const child = startReceiver(folder(config), `http://127.0.0.1:${mist.ports.api}`, ["--port", "0", ...flags]);
    expect([await child.exited, child.stderr()]).toEqual([code, expect.stringMatching(words)]);
    expect(await triggersOf(mist)).toEqual({});
  });

  it("ends with what is wrong: no MistServer, the wrong account, no way back, a folder that a server has", async () => {
    const mist = await startMist();
    const own = folder("export default { triggers: { USER_NEW: () => true } };");
    const none = startReceiver(own, `http://127.0.0.1:${await freePort()}`);
    expect([await none.exited, none.stderr()]).toEqual([1, expect.stringContaining("cannot be reached")]);
    const wrong = startReceiver(own, `http://127.0.0.1:${mist.ports.api}`, ["--user", "somebody"]);
    expect([await wrong.exited, wrong.stderr()]).toEqual([1, expect.stringContaining('does not take the login of "somebody"')]);
    const far = startReceiver(own, "http://192.0.2.1:4242");
    expect([await far.exited, far.stderr()]).toEqual([2, expect.stringContaining("--public-url is missing")]);
    const taken = startReceiver(own, `http://127.0.0.1:${mist.ports.api}`, ["--port", "0", "--data", join(mist.folder, "data")]);
    expect([await taken.exited, taken.stderr()]).toEqual([2, expect.stringContaining("another Sluice has it open")]);
    expect(await triggersOf(mist)).toEqual({});
  });
});
