import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { freePort } from "../support/free-port.ts";
import { root } from "../support/source-files.ts";

/** Files, flags and variables as a person gives them to the program. */
describe("the program finds its settings", () => {
  let folder: string;
  let ports: Readonly<Record<"rtmp" | "http" | "api", number>>;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-settings-"));
    ports = { rtmp: await freePort(), http: await freePort(), api: await freePort() };
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const run = (args: readonly string[], environment: Readonly<Record<string, string>> = {}): Child =>
    startChild(process.execPath, [join(root, "src/cli.ts"), ...args], { cwd: folder, env: { ...process.env, ...environment } });
  const get = async (path: string): Promise<Record<string, unknown>> =>
    (await (await fetch(`http://127.0.0.1:${ports.api}${path}`)).json()) as Record<string, unknown>;
  const settings = (): object => ({ host: "127.0.0.1", rtmpPort: ports.rtmp, httpPort: ports.http, apiPort: ports.api });

  it.each([
    ["sluice.config.ts", (text: string) => `import { defineConfig } from "sluice";\nexport default defineConfig(${text} as const);`],
    ["sluice.config.js", (text: string) => `import { defineConfig } from "sluice";\nexport default defineConfig(${text});`],
    ["sluice.config.json", (text: string) => text],
  ])("in %s of the working directory, without being told; the data directory is made", async (name, write) => {
    writeFileSync(join(folder, name), write(JSON.stringify({ ...settings(), data: "var/lib/sluice", streams: { tv: "push://" } })));
    await using child = run(["serve"]);
    await child.printed(/ready/);
    expect(await get("/api/v1/streams")).toMatchObject({ items: [{ name: "tv" }] });
    expect(existsSync(join(folder, "var/lib/sluice"))).toBe(true);
    expect(await child.stop("SIGTERM")).toBe(0);
  });

  it("in variables alone, each of them", async () => {
    writeFileSync(join(folder, "mine.json"), JSON.stringify({ streams: { mine: "push://" } }));
    await using child = run([], {
      ...{ SLUICE_CONFIG: "mine.json", SLUICE_DATA: "kept", SLUICE_HOST: "127.0.0.1", SLUICE_LOG_LEVEL: "FAIL" },
      ...{ SLUICE_RTMP_PORT: `${ports.rtmp}`, SLUICE_HTTP_PORT: `${ports.http}`, SLUICE_API_PORT: `${ports.api}` },
    });
    await child.printed(/ready/);
    const config = await get("/api/v1/config");
    expect(config).toMatchObject({ ...settings(), data: "kept", logLevel: "FAIL" });
    expect(await get("/api/v1/streams")).toMatchObject({ items: [{ name: "mine" }] });
    expect(existsSync(join(folder, "kept"))).toBe(true);
    expect(await child.stop("SIGINT")).toBe(0);
    // FAIL is the loudest: the order to end is no failure.
    expect(child.stderr()).toBe("");
  });

  it("in flags before variables before the file, and says which one was wrong", async () => {
    writeFileSync(join(folder, "sluice.config.json"), JSON.stringify({ ...settings(), latency: "low", data: "of-the-file" }));
    await using child = run(["--data", "of-the-flag"], { SLUICE_DATA: "of-the-variable" });
    await child.printed(/ready/);
    expect(await get("/api/v1/config")).toMatchObject({ latency: "low", data: "of-the-flag" });
    await child.stop("SIGTERM");
    writeFileSync(join(folder, "a-file"), "");
    await using blocked = run(["--data", "a-file"]);
    expect(await blocked.exited).not.toBe(0);
    expect(blocked.stderr()).toMatch(/a-file/);
  });

  it("answers at the addresses of the API that people look for", async () => {
    writeFileSync(join(folder, "sluice.config.json"), JSON.stringify(settings()));
    await using child = run([]);
    await child.printed(/ready/);
    const kind = async (path: string): Promise<readonly [number, string]> => {
      const abort = new AbortController();
      const answer = await fetch(`http://127.0.0.1:${path.startsWith("/live.json") ? ports.http : ports.api}${path}`, {
        signal: abort.signal,
      });
      abort.abort();
      return [answer.status, answer.headers.get("content-type")?.split(";")[0] ?? ""];
    };
    expect(await kind("/healthz")).toEqual([200, "text/plain"]);
    expect(await kind("/")).toEqual([200, "text/html"]);
    expect(await kind("/api/v1/openapi.json")).toEqual([200, "application/json"]);
    expect(await kind("/api/v1/events")).toEqual([200, "text/event-stream"]);
    expect(await kind("/metrics")).toEqual([200, "text/plain"]);
    expect(await kind(`/api?command=${encodeURIComponent('{"active_streams":true}')}`)).toEqual([200, "text/javascript"]);
    expect(await kind("/live.json")).toEqual([200, "application/json"]);
  });
});
