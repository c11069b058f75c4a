import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get, view } from "../support/viewer.ts";

/** The program as a user meets it: exit codes, messages, signals, what survives. */
describe("the command line", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-cli-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const run = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
    startChild(process.execPath, [join(root, "src/cli.ts"), ...args], { cwd: folder, env: { ...process.env, ...environment } });

  it.each([
    [
      "sluice.config.json",
      JSON.stringify({ streams: { live: { source: "push://", DVR: "abc" } } }),
      /sluice\.config\.json.*streams\.live\.DVR.*"abc"/s,
    ],
    ["sluice.config.json", JSON.stringify({ stream: {} }), /sluice\.config\.json.*"?stream"?.*streams/s],
    ["sluice.config.json", "{", /sluice\.config\.json/],
    ["sluice.config.ts", "export default { rtmpPort: 99999 };", /sluice\.config\.ts.*rtmpPort.*99999/s],
    [
      "sluice.config.ts",
      'import { defineConfig } from "sluice";\nexport default defineConfig({ triggers: { USER_NEU: () => true } } as object);',
      /sluice\.config\.ts.*USER_NEU.*USER_NEW/s,
    ],
  ])("ends with 2 and names the field: %s %s", async (name, text, words) => {
    writeFileSync(join(folder, name), text);
    await using child = run([]);
    expect(await child.exited).toBe(2);
    expect(child.stderr()).toMatch(words);
  });

  it("says its version, and where the server's flags are", async () => {
    await using version = run(["--version"]);
    expect([await version.exited, version.stdout()]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
    await using help = run(["--help"]);
    expect([await help.exited, help.stdout()]).toEqual([0, expect.stringContaining("sluice serve --help")]);
  });

  it("ends with 2 for a flag that it does not know or cannot read", async () => {
    await using unknown = run(["--rtmp-prot", "1"]);
    expect(await unknown.exited).toBe(2);
    expect(unknown.stderr()).toMatch(/--rtmp-prot/);
    await using wrong = run(["--http-port", "many"]);
    expect(await wrong.exited).toBe(2);
    expect(wrong.stderr()).toMatch(/http-port.*many/s);
    await using environment = run([], { SLUICE_API_PORT: "x" });
    expect(await environment.exited).toBe(2);
    expect(environment.stderr()).toMatch(/SLUICE_API_PORT/);
    await using missing = run(["--config", "nowhere.ts"]);
    expect(await missing.exited).toBe(2);
    expect(missing.stderr()).toMatch(/nowhere\.ts/);
  });

  it("ends with 2 for a command that it does not have, and starts nothing", async () => {
    for (const words of [["statsu"], ["serve", "me"]]) {
      await using child = run(words);
      expect(await child.exited).toBe(2);
      expect([child.stdout(), child.stderr()]).toEqual(["", expect.stringMatching(/no command "(statsu|me)"; sluice --help lists/)]);
    }
  });

  it.each(["rtmp", "http", "api"] as const)("says which port is in use and how to choose another: %s", async (which) => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const flags = { rtmp: await freePort(), http: await freePort(), api: await freePort(), [which]: port };
    await using child = run(["--host", "127.0.0.1", ...Object.entries(flags).flatMap(([name, value]) => [`--${name}-port`, `${value}`])]);
    expect(await child.exited).toBe(1);
    expect(child.stderr()).toContain(`${port}`);
    expect(child.stderr()).toContain(`--${which}-port`);
    taken.close();
  });

  it("is healthy, ends in order on SIGTERM, tells each session's end, and may be kept alive by SYSTEM_STOP", async () => {
    let stop = "false";
    await using handler = await startTriggerServer((call) => (call.name === "SYSTEM_STOP" ? stop : "true"));
    const entry = [{ handler: handler.url, sync: true, streams: [] }];
    await using sluice = await startSluice({
      config: {
        config: { triggers: { SYSTEM_START: entry, SYSTEM_STOP: entry, USER_NEW: entry, USER_END: entry, STREAM_BUFFER: entry } },
        streams: { live: { source: "push://" } },
      },
    });
    expect(handler.of("SYSTEM_START")).toHaveLength(1);
    expect((await get(`http://127.0.0.1:${sluice.ports.api}/healthz`)).status).toBe(200);
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await handler.called("STREAM_BUFFER");
    using viewer = await view(sluice.http("live.flv?tkn=last"));
    await viewer.atLeast(5000);
    sluice.child.process.kill("SIGTERM");
    await handler.called("SYSTEM_STOP");
    const received = viewer.received();
    await viewer.atLeast(received + 20_000);
    stop = "true";
    sluice.child.process.kill("SIGTERM");
    expect(await sluice.child.exited).toBe(0);
    await viewer.closed;
    expect(handler.of("USER_END").map((call) => call.lines[0])).toEqual(["last"]);
    await encoder.exited;
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "says how to end it when SYSTEM_STOP said no, and ends in order on a second %s",
    async (signal) => {
      await using handler = await startTriggerServer((call) => (call.name === "SYSTEM_STOP" ? "false" : "true"));
      const entry = [{ handler: handler.url, sync: true, streams: [] }];
      await using sluice = await startSluice({
        config: {
          config: { triggers: { SYSTEM_STOP: entry, STREAM_UNLOAD: entry, STREAM_BUFFER: entry } },
          streams: { live: { source: "push://" } },
        },
      });
      await using encoder = startEncoder(sluice.rtmp("live/live"));
      await handler.called("STREAM_BUFFER");
      sluice.child.process.kill(signal);
      await sluice.child.printed(/The server goes on/);
      expect(sluice.child.stderr()).toContain(`a second ${signal} within 10 s of the first ends it without asking`);
      expect(sluice.child.process.exitCode).toBeNull();
      // What comes at once may be the same Ctrl+C, handed on by npm: it asks once more.
      for (let tries = 0; sluice.child.process.exitCode === null && tries < 50; tries++) {
        sluice.child.process.kill(signal);
        await Promise.race([sluice.child.exited, new Promise((resolve) => setTimeout(resolve, 200))]);
      }
      expect(await sluice.child.exited).toBe(0);
      expect(handler.of("STREAM_UNLOAD")).toHaveLength(1);
      await encoder.exited;
    },
  );

  it("says which files it uses", async () => {
    writeFileSync(join(folder, "mine.json"), JSON.stringify({ streams: {}, rtmpPort: 0, httpPort: 0, apiPort: 0 }));
    await using child = run(["--config", "mine.json", "--data", "kept", "--host", "127.0.0.1"]);
    await child.printed(/ready/);
    const real = realpathSync(folder);
    expect(child.stderr()).toContain(`the configuration is ${join(real, "mine.json")}, the data folder ${join(real, "kept")}`);
    expect(await child.stop("SIGTERM")).toBe(0);
  });

  it("ends when SYSTEM_START says no", async () => {
    await using handler = await startTriggerServer(() => "false");
    writeFileSync(
      join(folder, "sluice.config.json"),
      JSON.stringify({ config: { triggers: { SYSTEM_START: [{ handler: handler.url, sync: true }] } }, streams: {} }),
    );
    const ports = [await freePort(), await freePort(), await freePort()];
    await using child = run([
      "--host",
      "127.0.0.1",
      "--rtmp-port",
      `${ports[0]}`,
      "--http-port",
      `${ports[1]}`,
      "--api-port",
      `${ports[2]}`,
    ]);
    expect(await child.exited).toBe(1);
    expect(child.stderr()).toMatch(/SYSTEM_START/);
  });

  it("keeps what the API configured over kill -9", async () => {
    const sluice = await startSluice({ config: { streams: { live: { source: "push://" } } } });
    await sluice.api({
      addstream: { extra: { source: "push://", segmentsize: 1000 } },
      config: { tknMode: 7, triggers: { USER_NEW: [{ handler: "http://127.0.0.1:9/", sync: true, default: "true", streams: ["extra"] }] } },
    });
    sluice.child.process.kill("SIGKILL");
    await sluice.child.exited;
    await using again = await sluice.again();
    const answer = (await again.api({ streams: true, config: {} })) as {
      streams: Record<string, { source: string }>;
      config: { tknMode: number; triggers: Record<string, unknown[]> };
    };
    expect(Object.keys(answer.streams).toSorted()).toEqual(["extra", "live"]);
    expect(answer.config.tknMode).toBe(7);
    expect(answer.config.triggers.USER_NEW).toEqual([{ handler: "http://127.0.0.1:9/", sync: true, default: "true", streams: ["extra"] }]);
  });

  it("loses nothing but the one connection that sends garbage, on every port, and logs it once", async () => {
    await using sluice = await startSluice();
    await using encoder = startEncoder(sluice.rtmp("live/steady"));
    const playing = async (): Promise<boolean> => JSON.stringify(await sluice.api({ active_streams: ["status"] })).includes("Online");
    while (!(await playing())) await encoder.printed(/frame=/);
    using viewer = await view(sluice.http("steady.flv"));
    expect(viewer.status).toBe(200);
    await viewer.atLeast(10_000);
    const samples = [
      Buffer.alloc(100_000, 0xff),
      Buffer.from("GET / HTTP/9.9\r\n\r\n"),
      Buffer.from([3, ...Array.from({ length: 3000 }, (_, i) => (i * 7919) & 255)]),
      Buffer.from(`GET /${"a".repeat(200_000)} HTTP/1.1\r\n\r\n`),
    ];
    for (const port of Object.values(sluice.ports)) {
      for (const sample of samples) {
        const socket = connect(port, "127.0.0.1");
        await new Promise((resolve) => socket.once("connect", resolve));
        socket.on("error", () => {});
        socket.resume();
        socket.end(sample);
        await new Promise((resolve) => socket.once("close", resolve));
      }
    }
    const received = viewer.received();
    await viewer.atLeast(received + 50_000);
    expect(viewer.longestGapMs()).toBeLessThan(1500);
    expect(sluice.child.process.exitCode).toBeNull();
    // One line for each bad connection at most, and none of what it sent. The API port's server answers garbage by itself.
    const lines = sluice.child
      .stderr()
      .split("\n")
      .filter((line) => / (WARN|ERROR|FAIL) /.test(line));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThanOrEqual(samples.length * 3);
    expect(sluice.child.stderr()).not.toContain("aaaaaaaaaaaaaaaaaaaa");
  });
});
