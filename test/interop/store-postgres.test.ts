import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type Postgres, postgresFolder, startPostgres } from "../support/postgres.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { view } from "../support/viewer.ts";

const missing = postgresFolder === undefined;
const count = (text: string, pattern: RegExp): number => text.match(new RegExp(pattern, "g"))?.length ?? 0;

/** The program in the server's folder. */
function command(sluice: Sluice, ...args: readonly string[]): Child {
  return startChild(process.execPath, [join(root, "src/cli.ts"), ...args], {
    cwd: sluice.folder,
    env: { ...process.env, SLUICE_API: `http://127.0.0.1:${sluice.ports.api}` },
  });
}

async function said(child: Child): Promise<string> {
  expect([await child.exited, child.stderr()]).toEqual([0, expect.any(String)]);
  return child.stdout();
}

/** A viewer that plays until it is ended, as a person's player does. */
function startPlayer(url: string): Child {
  return startChild("ffmpeg", ["-hide_banner", "-nostdin", "-loglevel", "info", "-i", url, "-f", "null", "-"]);
}

const framesOf = (player: Child): number => Number([...player.stderr().matchAll(/frame=\s*(\d+)/g)].at(-1)?.[1] ?? 0);

describe.skipIf(missing)(`a server whose store is PostgreSQL${missing ? " (which is not installed)" : ""}`, () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => await postgres[Symbol.asyncDispose]());

  it("has tokens, changed settings and notifications after kill -9; what it holds moves to SQLite", async () => {
    let takes = false;
    await using handler = await startTriggerServer(() => (takes ? "true" : { status: 500, body: "" }));
    const place = await postgres.place();
    await using sluice = await startSluice({
      config: {
        streams: { live: { source: "push://" } },
        policies: [{ use: "pushTokens" }, { use: "viewTokens", streams: ["live"] }],
        triggers: { STREAM_BUFFER: [{ handler: handler.url, delivery: "reliable" }] },
      },
      environment: { SLUICE_STORE: place },
    });
    const pushToken = (await said(command(sluice, "token", "push", "create", "live"))).trim();
    const viewToken = (await said(command(sluice, "token", "view", "create", "live", "--uses", "2"))).trim();
    await sluice.api({ addstream: { extra: { source: "push://" } } });
    {
      await using encoder = startEncoder(sluice.rtmp(`live/${pushToken}`));
      await Promise.race([handler.called("STREAM_BUFFER"), encoder.exited]);
      using viewer = await view(sluice.http(`${viewToken}.flv`));
      await viewer.atLeast(1000);
      await sluice.child.stop("SIGKILL");
    }
    takes = true;
    const before = handler.calls.length;
    await using again = await sluice.again();
    const late = await handler.called("STREAM_BUFFER", (call) => handler.calls.indexOf(call) >= before);
    expect(late.headers["x-trigger-sequence"]).toBe("1");
    expect(await again.api({ streams: true })).toMatchObject({ streams: { extra: { source: "push://" } } });
    {
      await using _encoder = startEncoder(again.rtmp(`live/${pushToken}`));
      await expect.poll(async () => JSON.stringify(await again.api({ active_streams: true })), { timeout: 20_000 }).toContain("live");
      using viewer = await view(again.http(`${viewToken}.flv`));
      await viewer.atLeast(1000);
      using refused = await view(again.http(`${viewToken}.flv?tkn=third`));
      expect(refused.status).toBe(403);
    }

    // A backup is made while it runs; a second server on the same store is not.
    await said(command(again, "export", "backup.json", "--store", place));
    const second = command(again, "--store", place, "--data", "other");
    expect([await second.exited, second.stderr()]).toEqual([2, expect.stringMatching(/another Sluice has it open; end that one/)]);
    expect(await again.child.stop()).toBe(0);
    await said(command(again, "import", "backup.json", "--data", "moved"));
    const listed = await said(command(again, "token", "push", "list", "--json", "--data", "moved"));
    expect(JSON.parse(listed)).toMatchObject({ items: [{ stream: "live", hint: pushToken.slice(0, 4) }] });
    const backup = readFileSync(join(again.folder, "backup.json"), "utf8");
    for (const secret of [pushToken, viewToken]) expect(backup).not.toContain(secret);
  });

  it("goes on playing while PostgreSQL is down, says so once, refuses whom it cannot check, and loses nothing", async () => {
    await using handler = await startTriggerServer(() => "true");
    await using sluice = await startSluice({
      config: {
        streams: { live: { source: "push://" }, closed: { source: "push://" } },
        policies: [{ use: "pushTokens", streams: ["closed"] }],
        triggers: {
          USER_NEW: [{ handler: handler.url, sync: true }],
          USER_END: [{ handler: handler.url, delivery: "reliable" }],
          STREAM_BUFFER: [{ handler: handler.url, delivery: "reliable" }],
        },
        store: await postgres.place(),
      },
    });
    const log = (): string => sluice.child.stderr();
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await Promise.race([handler.called("STREAM_BUFFER", ({ lines }) => lines[1] === "FULL"), encoder.exited]);
    await using player = startPlayer(sluice.http("live.flv?tkn=before"));
    await player.printed(/frame=/);

    await postgres.stop("SIGQUIT");
    await sluice.child.printed(/The connection to the store is lost/);
    const frames = framesOf(player);
    using during = await view(sluice.http("live.flv?tkn=during"));
    await during.atLeast(20_000);
    await using unchecked = startEncoder(sluice.rtmp("live/a-token-of-somebody"), { seconds: 20 });
    expect(await unchecked.exited).not.toBe(0);
    expect(unchecked.stderr()).toMatch(/the token cannot be checked now; try again/);
    const change = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/config`, {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: '{"serverid":"changed"}',
    });
    expect([change.status, await change.text()]).toEqual([500, expect.stringContaining("the store cannot be reached")]);
    during[Symbol.dispose]();
    // It is not kept, but it is sent.
    const end = await handler.called("USER_END", ({ lines }) => lines[0] === "during");
    expect(end.headers["x-trigger-sequence"]).toBeUndefined();
    await expect.poll(() => framesOf(player), { timeout: 20_000 }).toBeGreaterThan(frames + 50);

    await postgres.start();
    await sluice.child.printed(/The store is back/);
    using after = await view(sluice.http("live.flv?tkn=after"));
    await after.atLeast(1);
    expect((await sluice.api({ config: true }))["config"]).not.toMatchObject({ serverid: "changed" });
    for (const words of [/ERROR.*The connection to the store is lost/, /INFO.*The store is back/, /Notifications cannot be kept/]) {
      expect([words, count(log(), words)]).toEqual([words, 1]);
    }
    expect(count(log(), /Sessions cannot be written/)).toBe(1);
    await sluice.child.printed(/Sessions can be written to the store again/);

    await sluice.child.stop("SIGKILL");
    await player.exited;
    await using again = await sluice.again();
    for (const token of ["before", "after"]) {
      const made = await handler.called("USER_END", ({ lines }) => lines[0] === token);
      expect(made.lines[7]).toContain("[server-restart]");
    }
    expect(await again.child.stop()).toBe(0);
    expect(
      handler
        .of("USER_END")
        .map(({ lines }) => lines[0])
        .toSorted(),
    ).toEqual(["after", "before", "during"]);
  });

  it("docs/recipes/store.md: its commands move everything from SQLite to PostgreSQL", async () => {
    const page = readFileSync(join(root, "docs/recipes/store.md"), "utf8");
    const script = /<!-- run by test\/interop\/store-postgres\.test\.ts -->\n```sh\n(.*?)```/s.exec(page)?.[1] ?? "";
    expect(script).toContain("sluice import");
    await using sluice = await startSluice({ config: { policies: [{ use: "pushTokens" }] } });
    const token = (await said(command(sluice, "token", "push", "create", "concert"))).trim();
    expect(await sluice.child.stop()).toBe(0);
    writeFileSync(join(sluice.folder, "sluice"), `#!/bin/sh\nexec "${process.execPath}" "${join(root, "src/cli.ts")}" "$@"\n`, {
      mode: 0o755,
    });
    const place = await postgres.place();
    const env = { ...process.env, PATH: `${sluice.folder}:${process.env["PATH"]}`, POSTGRES: place, SLUICE_API: "http://127.0.0.1:1" };
    await using shell = startChild("sh", ["-eu", "-c", script], { cwd: sluice.folder, env });
    expect([await shell.exited, shell.stderr()]).toEqual([
      0,
      expect.stringMatching(/^Written to backup\.json: .*\nAdded: .*1 tokens to push/),
    ]);
    expect(shell.stdout()).toContain("concert");
    const [first, second] = ["backup.json", "again.json"].map(
      (name) => (JSON.parse(readFileSync(join(sluice.folder, name), "utf8")) as { tables: unknown }).tables,
    );
    expect(second).toEqual(first);
    expect(statSync(join(sluice.folder, "backup.json")).mode & 0o077).toBe(0);
    await using moved = await startSluice({ config: { policies: [{ use: "pushTokens" }] }, environment: { SLUICE_STORE: place } });
    await using _encoder = startEncoder(moved.rtmp(`live/${token}`));
    await expect.poll(async () => JSON.stringify(await moved.api({ active_streams: true })), { timeout: 20_000 }).toContain("concert");
  });

  it("does not start without it, and says why without its password", async () => {
    const place = new URL(await postgres.place());
    place.password = "very-secret";
    place.port = "1";
    const child = startChild(process.execPath, [join(root, "src/cli.ts"), "--store", place.href], { cwd: "/tmp" });
    expect(await child.exited).toBe(2);
    expect(child.stderr()).toMatch(/postgres:\/\/sluice@127\.0\.0\.1:1\/postgres cannot be opened: .*; see that PostgreSQL runs there/);
    expect(child.stderr()).not.toContain("very-secret");
    const wrong = startChild(process.execPath, [join(root, "src/cli.ts"), "--store", "mysql://a:very-secret@b/c"], { cwd: "/tmp" });
    expect(await wrong.exited).toBe(2);
    expect(wrong.stderr()).toMatch(/--store is wrong; it must be the address of a PostgreSQL database/);
    expect(wrong.stderr()).not.toContain("very-secret");
  });
});
