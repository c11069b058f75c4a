import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startBrowser, pageUntil } from "../support/browser.ts";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { openPublisher } from "../support/rtmp-publisher.ts";
import { tryRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

const hidden = "concert-of-tonight";

type Made = { readonly id: string; readonly token: string };

/** One call of the REST API. */
async function rest(sluice: Sluice, method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  return { status: response.status, text: await response.text() };
}

async function make(sluice: Sluice, kind: "push" | "view", body: object): Promise<Made> {
  return JSON.parse((await rest(sluice, "POST", `/${kind}-tokens`, body)).text) as Made;
}

/** Runs the command as a shell would, in the server's folder. */
async function sluiceCommand(sluice: Sluice, ...words: readonly string[]): Promise<string> {
  await using child = startChild(process.execPath, [`${root}/src/cli.ts`, ...words], {
    cwd: sluice.folder,
    env: { ...process.env, SLUICE_API: `http://127.0.0.1:${sluice.ports.api}` },
  });
  expect([await child.exited, child.stderr()]).toEqual([0, expect.any(String)]);
  return child.stdout();
}

const plays = (sluice: Sluice, path: string): Promise<void> =>
  vi.waitFor(async () => expect((await get(sluice.http(path))).text).toContain("H264"), { timeout: 20_000, interval: 100 });

describe("the policy pushTokens with ffmpeg", () => {
  let sluice: Sluice;
  const secrets: string[] = [];
  const children: Child[] = [];
  const encode = (token: string, size?: string): Child => {
    const child = startEncoder(sluice.rtmp(`live/${token}`), size === undefined ? {} : { size });
    children.push(child);
    return child;
  };
  const token = async (body: object = {}): Promise<Made> => {
    const made = await make(sluice, "push", { stream: "live", ...body });
    secrets.push(made.token);
    return made;
  };

  beforeAll(async () => {
    sluice = await startSluice({ config: { streams: { live: { source: "push://" } }, policies: [{ use: "pushTokens" }] } });
  });
  afterAll(async () => {
    for (const child of children) await child.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  it("takes a push by token, and refuses a wrong one and the public name", async () => {
    const { token: name, id } = await token({ uses: 1, short: true });
    expect(name.length).toBeLessThanOrEqual(24);
    const encoder = encode(name);
    await plays(sluice, "json_live.js");
    for (const wrong of ["live", "a".repeat(32), name.slice(1)]) {
      await using refused = startEncoder(sluice.rtmp(`live/${wrong}`), { seconds: 20 });
      expect(await refused.exited).not.toBe(0);
      expect(refused.stderr()).toContain("this is no push token that is known here");
    }
    expect((await playWithFfmpeg(sluice.http("live.flv"), 1)).videoFrames).toBeGreaterThanOrEqual(20);
    expect((await get(sluice.http(`${name}.flv`))).status).toBe(404);
    // Revoked: the push ends at once, and the token is over.
    expect((await rest(sluice, "DELETE", `/push-tokens/${id}`)).status).toBe(204);
    expect(await encoder.exited).not.toBe(0);
    await expect(openPublisher(sluice.ports.rtmp, name)).rejects.toThrow();
  });

  it("lets a second encoder take over, or wait as the backup, while a viewer watches on", async () => {
    const { token: name } = await token({ whenTaken: "take-over" });
    const first = encode(name);
    await plays(sluice, "json_live.js");
    using viewer = await view(sluice.http("live.flv"));
    await viewer.atLeast(20_000);
    const second = encode(name);
    expect(await first.exited).not.toBe(0);
    await viewer.atLeast(viewer.received() + 60_000);

    const backup = await token({ whenTaken: "backup" });
    const waiting = encode(backup.token);
    await expect.poll(async () => (await rest(sluice, "GET", `/push-tokens/${backup.id}`)).text, { timeout: 20_000 }).toContain('"used":1');
    await second.stop();
    await viewer.atLeast(viewer.received() + 60_000);
    expect(await Promise.race([viewer.closed.then(() => "closed"), Promise.resolve("watches")])).toBe("watches");
    await rest(sluice, "DELETE", `/push-tokens/${backup.id}`);
    expect(await waiting.exited).not.toBe(0);
  });

  it("shows no token in the log, the API, the journal or a trace", async () => {
    const shown = [sluice.child.stdout(), sluice.child.stderr()];
    for (const path of [
      "/push-tokens",
      "/triggers/calls?limit=1000",
      "/decisions?limit=1000",
      "/sessions",
      "/policies",
      "/triggers",
      "/streams",
    ])
      shown.push((await rest(sluice, "GET", path)).text);
    shown.push(JSON.stringify(await sluice.api({ log: true, clients: {}, totals: {}, active_streams: {}, config: {} })));
    shown.push(await sluiceCommand(sluice, "token", "push", "list"));
    for (const secret of secrets) expect(shown.join("\n")).not.toContain(secret);
    expect(shown.join("\n")).toContain("policy pushTokens");
    const metrics = await (await fetch(`http://127.0.0.1:${sluice.ports.api}/metrics`)).text();
    expect(metrics).toMatch(/sluice_policy_decisions_total\{policy="pushTokens",result="deny"\} [1-9]/);
  });
});

describe("the policy viewTokens with ffmpeg and Chromium", () => {
  let sluice: Sluice;
  let encoder: Child;
  const config = `
    import { defineConfig, viewTokens } from "sluice";
    export default defineConfig({
      streams: { "${hidden}": { source: "push://", hidden: true } },
      policies: [viewTokens({ streams: ["${hidden}"], keys: { now: "a-secret-of-16-or-more" } })],
    });
  `;
  beforeAll(async () => {
    sluice = await startSluice({ config });
    encoder = startEncoder(sluice.rtmp(`live/${hidden}`));
    const { token } = await make(sluice, "view", { stream: hidden });
    await plays(sluice, `json_${token}.js`);
  });
  afterAll(async () => {
    await encoder?.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  it.each(["opaque", "signed"])("plays %s tokens in the place of a name on FLV, HLS and RTMP, and beside the name", async (sort) => {
    const { token } = await make(sluice, "view", { stream: hidden, ...(sort === "signed" && { signed: true, expiresIn: "1h" }) });
    const { http, rtmp } = sluice;
    for (const url of [http(`${token}.flv`), http(`hls/${token}/index.m3u8`), rtmp(`play/${token}`), http(`${hidden}.flv?tkn=${token}`)]) {
      const played = await playWithFfmpeg(url, 1);
      expect(played.videoFrames, played.output).toBeGreaterThanOrEqual(20);
    }
    expect((await get(http(`json_${hidden}.js`), { Authorization: `Bearer ${token}` })).text).toContain("H264");
    expect((await get(http(`json_${hidden}.js`), { Cookie: `tkn=${token}` })).text).toContain("H264");
  });

  it("plays in hls.js, and never shows the real name or lets it in", async () => {
    const { token } = await make(sluice, "view", { stream: hidden });
    await using browser = await startBrowser();
    const page = await browser.newPage();
    const seen: string[] = [];
    page.on("response", (response) => void seen.push(response.url(), JSON.stringify(response.headers())));
    await page.goto(sluice.http(`${token}.html`));
    await pageUntil(page, 'document.querySelector("video")?.currentTime > 1');
    const hls = await hlsSegments(sluice.http(`hls/${token}/index.m3u8?tkn=curious`), 2);
    using flv = await view(sluice.http(`${token}.flv?tkn=curious`));
    await flv.atLeast(10_000);
    const errors = await Promise.all(
      [`${hidden}.flv`, `hls/${hidden}/index.m3u8`, `json_${hidden}.js`, "nothing.flv", `hls/${token}/9_9/none.ts`].map((path) =>
        get(sluice.http(path)),
      ),
    );
    expect(errors.slice(0, 3).map(({ status }) => status)).toEqual([403, 403, 403]);
    expect((await tryRtmp(sluice.ports.rtmp, hidden, "play")).plays).toBe(false);
    const shown = [
      ...seen,
      await page.content(),
      ...hls.playlists,
      ...hls.segments.map(({ url }) => url),
      JSON.stringify(flv.headers),
      flv.start().toString("latin1"),
      (await get(sluice.http(`json_${token}.js?tkn=curious`))).text,
      (await get(sluice.http("live.json"))).text,
      ...errors.map(({ text, headers }) => text + JSON.stringify([...headers])),
    ].join("\n");
    expect(shown).not.toContain(hidden);
    expect(shown).toContain(token);
    for (const text of [
      sluice.child.stdout(),
      sluice.child.stderr(),
      (await rest(sluice, "GET", "/decisions?limit=1000")).text,
      (await rest(sluice, "GET", "/triggers/calls?limit=1000")).text,
      (await rest(sluice, "GET", "/view-tokens")).text,
      (await rest(sluice, "GET", "/policies")).text,
    ])
      expect([text.includes(token), text.includes("a-secret-of-16")]).toEqual([false, false]);
  }, 60_000);

  it("lets exactly 3 of 200 in who use a token with 3 uses at once, and after kill -9 those who were in, and nobody else", async () => {
    const made = await sluiceCommand(sluice, "token", "view", "create", hidden, "--uses", "3", "--json");
    const { token, id } = JSON.parse(made) as Made;
    const names = Array.from({ length: 200 }, (_, n) => `viewer-number-${String(n).padStart(4, "0")}`);
    const open = (name: string) => get(sluice.http(`json_${token}.js?tkn=${name}`));
    const answers = await Promise.all(names.map(async (name) => ({ name, ...(await open(name)) })));
    const inside = answers.filter(({ status }) => status === 200).map(({ name }) => name);
    expect(inside).toHaveLength(3);
    expect(answers.filter(({ text }) => text.includes("this token has no uses left"))).toHaveLength(197);
    expect(JSON.parse((await rest(sluice, "GET", `/view-tokens/${id}`)).text)).toMatchObject({ used: 3, uses: 3 });

    sluice.child.process.kill("SIGKILL");
    await sluice.child.exited;
    // What the killed server had, without a server: the command looks into its folder.
    expect(await sluiceCommand(sluice, "token", "view", "list")).toContain("3 of 3");
    await encoder.stop();
    sluice = await sluice.again();
    encoder = startEncoder(sluice.rtmp(`live/${hidden}`));
    const free = await make(sluice, "view", { stream: hidden });
    await plays(sluice, `json_${free.token}.js`);
    for (const name of inside) expect([name, (await open(name)).status]).toEqual([name, 200]);
    for (const name of ["somebody-else-at-last", ...names.slice(0, 10).filter((name) => !inside.includes(name))])
      expect([name, (await open(name)).status]).toEqual([name, 403]);
    expect(JSON.parse((await rest(sluice, "GET", `/view-tokens/${id}`)).text)).toMatchObject({ used: 3 });
  });

  it("ends who watches when the token is revoked by command", async () => {
    const { token, id } = await make(sluice, "view", { stream: hidden });
    using viewer = await view(sluice.http(`${token}.flv`));
    await viewer.atLeast(10_000);
    await sluiceCommand(sluice, "token", "view", "revoke", id);
    await viewer.closed;
    expect((await get(sluice.http(`${token}.flv`))).text).toContain("this token was revoked");
  });
});
