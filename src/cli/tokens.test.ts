import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../test/support/api-server.ts";
import { accessControl } from "../policies/access-control.ts";
import { readSigned } from "../policies/signed-token.ts";
import { faultOfSigned, signingKeys } from "../policies/signed-url.ts";
import { viewTokens } from "../policies/view-tokens.ts";
import { openStore } from "../store/store.ts";
import { commands } from "./commands.ts";

const keys = { "2026-11": "a-secret-of-16-or-more" };
const nobody = { SLUICE_API: "http://127.0.0.1:1" };
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command as the shell would. */
async function run(api: TestApi | undefined, words: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  let [out, err] = ["", ""];
  const terminal = {
    write: (text: string) => void (out += text),
    interactive: false,
    style: (_look: string, text: string) => text,
    interrupted: () => new AbortController().signal,
  };
  const program = new Command().exitOverride();
  const home: Readonly<Record<string, string>> = api ? { SLUICE_API: `http://127.0.0.1:${api.port}` } : nobody;
  const parts = {
    environment: { ...home, ...environment },
    terminal,
    complain: (text: string) => void (err += `${text}\n`),
    exit: () => undefined,
  };
  for (const command of commands(parts)) program.addCommand(command);
  await program.parseAsync([...words], { from: "user" });
  return { out, err };
}

describe("sluice token", () => {
  it("makes, lists and revokes over the API; the token itself is shown once", async () => {
    await using api = await startApi();
    const { out } = await run(api, ["token", "push", "create", "live+$name", "--expires", "7d", "--label", "camera 1", "--short"]);
    const token = out.trim();
    expect(token).toMatch(/^[a-z2-7]{24}$/);
    const record = await api.parts.tokenBook.find("push", token);
    expect(record).toMatchObject({ stream: "live+$name", label: "camera 1", expiresAt: api.clock.now() + 7 * 86_400_000 });
    const json = await run(api, [
      ...["token", "view", "create", "concert", "--uses", "1", "--sessions", "2", "--lifetime", "2h", "--grace", "1m", "--json"],
      ...[
        "--bind",
        "device:soft",
        "--when-taken",
        "take-over",
        "--address",
        "192.0.2.0/24",
        "--address",
        "2001:db8::1",
        "--protocol",
        "HLS",
      ],
    ]);
    const made = JSON.parse(json.out) as { readonly token: string; readonly id: string };
    expect(await api.parts.tokenBook.find("view", made.token)).toMatchObject({
      ...{ id: made.id, uses: 1, sessions: 2, lifetimeMs: 7_200_000, graceMs: 60_000, bind: { to: "device", how: "soft" } },
      ...{ whenTaken: "take-over", addresses: ["192.0.2.0/24", "2001:db8::1"], protocols: ["HLS"] },
    });
    const listed = await run(api, ["token", "push", "list"]);
    expect(listed.out).toContain("camera 1");
    expect(listed.out).not.toContain(token);
    expect(JSON.parse((await run(api, ["token", "view", "list", "--stream", "concert", "--json"])).out)).toMatchObject({
      items: [{ id: made.id }],
    });
    expect((await run(api, ["token", "push", "revoke", String(record?.id)])).out).toBe(`${record?.id} is revoked\n`);
    await expect(run(api, ["token", "push", "revoke", String(record?.id)])).rejects.toThrow("was revoked before");
    await expect(run(api, ["token", "push", "revoke", made.id])).rejects.toThrow(`There is no push token with the id ${made.id}`);
    await expect(run(api, ["token", "view", "create", "concert", "--uses", "many"])).rejects.toThrow(/uses must be a whole number/);
    await expect(run(api, ["token", "view", "create", "concert", "--expires", "soon"])).rejects.toThrow(/expiresIn must be a duration/);
  });

  it("does the same in the store when no server runs, and says so", async () => {
    const data = join(folder, "data");
    const create = await run(undefined, ["token", "view", "create", "concert", "--uses", "1", "--expires", "1h", "--json", "--data", data]);
    expect(create.err).toBe("No server answers at http://127.0.0.1:1: taking its store\n");
    const { token, id } = JSON.parse(create.out) as { readonly token: string; readonly id: string };
    const listed = await run(undefined, ["token", "view", "list"], { SLUICE_DATA: data });
    expect(listed.out).toContain(id);
    await run(undefined, ["token", "view", "revoke", id, "--data", data]);
    await expect(run(undefined, ["token", "push", "revoke", id, "--data", data])).rejects.toThrow("There is no push token");
    await expect(run(undefined, ["token", "view", "create", "x", "--uses", "0", "--data", data])).rejects.toThrow(
      "--uses must be a whole number",
    );
    await expect(run(undefined, ["token", "view", "create", "x", "--signed", "--data", data])).rejects.toThrow(
      "signed tokens are made by one",
    );
    await using store = await openStore(data);
    expect(await store.tokens.find("view", token)).toMatchObject({ uses: 1, revokedAt: expect.any(Number) });
  });

  it("finds the folder `data` by itself, but not for a server that was asked for by its address", async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      await expect(run(undefined, ["token", "push", "create", "live"])).rejects.toThrow(/cannot be reached.*--data DIR/);
      expect(existsSync("data")).toBe(false);
      mkdirSync("data");
      await (await openStore("data"))[Symbol.asyncDispose]();
      const { out, err } = await run(undefined, ["token", "push", "create", "live"]);
      expect([out.trim().length, err]).toEqual([
        32,
        "No server answers at http://127.0.0.1:1: taking the store that is here, in the folder data\n",
      ]);
      await expect(run(undefined, ["token", "push", "create", "live", "--api", "http://127.0.0.1:2"])).rejects.toThrow(/cannot be reached/);
    } finally {
      process.chdir(before);
    }
  });

  it("makes signed tokens with the key of the policy, which no answer shows", async () => {
    await using api = await startApi();
    await expect(run(api, ["token", "view", "create", "concert", "--signed"])).rejects.toThrow(
      "no policy viewTokens that is for this stream has `keys`",
    );
    api.policies.push({ name: "tickets", policy: viewTokens({ streams: ["concert"], keys }) });
    const { out } = await run(api, ["token", "view", "create", "concert", "--signed", "--expires", "1h", "--json"]);
    const made = JSON.parse(out) as { readonly token: string; readonly id: string; readonly hint: string };
    expect(made).toMatchObject({ signed: true, hint: "signed" });
    const claims = readSigned(made.token, signingKeys(keys));
    expect(claims).toEqual({ id: made.id, stream: "concert", limited: false, expiresAt: api.clock.now() + 3_600_000 });
    expect((await run(api, ["token", "view", "create", "concert", "--signed", "--uses", "3"])).out.trim().length).toBeLessThanOrEqual(100);
    await expect(run(api, ["token", "view", "create", "other", "--signed"])).rejects.toThrow("no policy viewTokens");
    await expect(run(api, ["token", "view", "create", `concert+${"x".repeat(30)}`, "--signed"])).rejects.toThrow(
      "too long for a signed token",
    );
    expect((await run(api, ["token", "view", "list"])).out).toContain("signed");
    const shown = await api.ask({ method: "GET", path: "/api/v1/policies" });
    expect(shown.text).toContain("2026-11");
    expect(shown.text).not.toContain(keys["2026-11"]);
  });
});

describe("sluice sign", () => {
  it("signs an address with the first key that its stream's rule has", async () => {
    await using api = await startApi();
    await expect(run(api, ["sign", "http://h/hls/live/index.m3u8"])).rejects.toThrow(
      "No rule of the policy accessControl wants signed addresses",
    );
    api.policies.push({
      name: "door",
      policy: accessControl({ rules: [{ streams: ["live"], signed: { ...keys, old: "another-secret-of-16" } }] }),
    });
    for (const url of [
      "http://h/hls/live/index.m3u8",
      "https://h/live.flv?a=1",
      "http://h/LIVE.html",
      "rtmp://h/play/live",
      "http://h/json_live.js",
    ]) {
      const { out } = await run(api, ["sign", url, "--expires", "15m", "--ip", "2001:DB8:0::1"]);
      const signed = new URL(out.trim());
      const query = Object.fromEntries(signed.searchParams);
      expect([signed.pathname, query["key"], Number(query["expires"]) * 1000 - api.clock.now()]).toEqual([
        new URL(url).pathname,
        "2026-11",
        900_000,
      ]);
      const fault = (address: string, now = api.clock.now()) => faultOfSigned({ stream: "live", address, query }, signingKeys(keys), now);
      expect([fault("2001:db8::1"), fault("2001:db8::2")]).toEqual([undefined, "this address is for another client"]);
      expect(fault("2001:db8::1", api.clock.now() + 900_000)).toBe("this address has expired");
    }
    expect(JSON.parse((await run(api, ["sign", "http://h/live.flv", "--json"])).out)).toEqual({
      url: expect.stringContaining("http://h/live.flv?expires="),
      expiresAt: api.clock.now() + 3_600_000,
    });
    for (const url of ["http://h/other.flv", "http://h/", "nothing"]) await expect(run(api, ["sign", url])).rejects.toThrow();
    await expect(run(api, ["sign", "http://h/live.flv", "--ip", "home"])).rejects.toThrow("ip must be an address of a client");
    await expect(run(api, ["sign", "http://h/live.flv", "--expires", "0s"])).rejects.toThrow("expiresIn must be a duration");
  });
});

describe("sluice policy", () => {
  it("puts policies in force, changes them and takes them away; those of the file stay", async () => {
    await using api = await startApi();
    const kept = () => api.parts.configuration.settings.policies;
    expect((await run(api, ["policy", "set", "pushTokens", 'streams=["live"]', "whenTaken=backup"])).out).toBe("pushTokens is in force\n");
    expect(kept()).toEqual({ pushTokens: { use: "pushTokens", streams: ["live"], whenTaken: "backup" } });
    await run(api, ["policy", "set", "hall", "use=viewerLimit", "viewers=3"]);
    await run(api, ["policy", "set", "pushTokens"]);
    expect(kept()).toEqual({ pushTokens: { use: "pushTokens" }, hall: { use: "viewerLimit", viewers: 3 } });
    await expect(run(api, ["policy", "set", "hall", "use=viewerLimit", "viewers=none"])).rejects.toThrow(
      /viewerLimit\.viewers must be a whole number/,
    );
    await expect(run(api, ["policy", "set", "hall", "use=nothing"])).rejects.toThrow(/nothing/);
    await expect(run(api, ["policy", "set", "hall", "viewers"])).rejects.toThrow("viewers must be NAME=VALUE");
    api.policies.push({ name: "door", policy: accessControl({ rules: [{ allow: true }] }) });
    expect((await run(api, ["policy", "list"])).out).toMatch(/door\s+accessControl\s+file\s+\{"rules":\[\{"allow":true\}\]\}/);
    await expect(run(api, ["policy", "set", "door", "use=pushTokens"])).rejects.toThrow("stands in the configuration's file");
    await expect(run(api, ["policy", "remove", "door"])).rejects.toThrow("stands in the configuration's file");
    await expect(run(api, ["policy", "remove", "none"])).rejects.toThrow("There is no policy none");
    api.policies.push({ name: "hall", policy: { name: "viewerLimit", options: {}, start: () => ({ [Symbol.dispose]: () => {} }) } });
    await run(api, ["policy", "remove", "hall"]);
    expect(kept()).toEqual({ pushTokens: { use: "pushTokens" } });
  });
});
