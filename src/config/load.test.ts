import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SluiceError } from "../base/errors.ts";
import { defineProtocol } from "../protocols/protocol.ts";
import type { Flags } from "./overrides.ts";
import { loadConfiguration, readConfiguration } from "./load.ts";

const rtmp = defineProtocol({
  name: "rtmp",
  connector: "RTMP",
  description: "",
  codecs: { publish: [], play: [] },
  watch: [],
  parseOptions(value: unknown) {
    if (typeof value === "object" && value !== null && "chunkSize" in value && typeof value.chunkSize !== "number") {
      throw new SluiceError("config.invalid", `chunkSize is ${JSON.stringify(value.chunkSize)}; it must be a number of bytes`);
    }
    return {};
  },
});

const yes = (): boolean => true;

const problemOf = (value: unknown): string => {
  try {
    readConfiguration(value, "sluice.config.ts", [rtmp]);
  } catch (error) {
    if (error instanceof SluiceError && error.code === "config.invalid") return error.message;
    throw error;
  }
  return "no problem";
};

describe("our own shape", () => {
  it("has working defaults: everything may be pushed to while no stream is configured", () => {
    const { settings } = readConfiguration({}, "x");
    expect(settings).toMatchObject({ host: "0.0.0.0", rtmpHost: "0.0.0.0", rtmpPort: 1935, httpPort: 8080, apiPort: 4242, data: "data" });
    expect(settings).toMatchObject({ sessionViewerMode: 14, sessionUnspecifiedMode: 0, tknMode: 15, logLevel: "INFO", latency: "normal" });
    expect(settings.defaultSource).toBe("push://");
    expect(readConfiguration({ streams: {} }, "x").settings.defaultSource).toBeUndefined();
    expect(readConfiguration({ streams: {}, defaultSource: "push://" }, "x").settings.defaultSource).toBe("push://");
  });

  it.each([
    [
      { streams: { live: { source: "push://", DVR: "abc" } } },
      'sluice.config.ts: streams.live.DVR is "abc"; it must be a number of milliseconds',
    ],
    [{ rtmpprt: 1 }, 'sluice.config.ts: rtmpprt is no known setting; did you mean "rtmpPort"?'],
    [{ streams: { live: { source: "push://", dvr: 5 } } }, 'sluice.config.ts: streams.live.dvr is no known setting; did you mean "DVR"?'],
    [
      { streams: { live: {} } },
      'sluice.config.ts: streams.live.source is missing; it must be a source, such as "push://" or "/path/to/file.mp4"',
    ],
    [{ streams: { live: 5 } }, "sluice.config.ts: streams.live is 5; it must be a source as text, or an object with a `source`"],
    [
      { streams: { "Live TV": "push://" } },
      'sluice.config.ts: streams["Live TV"] is no stream name; use a-z, 0-9, "_", "." and "-": "live"',
    ],
    [{ apiPort: 70_000 }, "sluice.config.ts: apiPort is 70000; it must be a port number from 0 to 65535"],
    [{ apiPort: 1.5 }, "sluice.config.ts: apiPort is 1.5; it must be a port number from 0 to 65535"],
    [{ tknMode: 16 }, /tknMode is 16; it must be a number from 0 to 15, the sum of 1 \(read from query\)/],
    [{ latency: "fast" }, 'sluice.config.ts: latency is "fast"; it must be one of low, normal, high'],
    [{ trustedproxy: "10.0.0.1" }, 'sluice.config.ts: trustedproxy is "10.0.0.1"; it must be a list of addresses, ranges or host names'],
    [{ triggers: { USER_NW: () => true } }, 'sluice.config.ts: triggers.USER_NW is no known trigger; did you mean "USER_NEW"?'],
    [{ triggers: { USER_NEW: 5 } }, /triggers\.USER_NEW is 5; it must be a function, an object/],
    [
      { triggers: { USER_NEW: [{ handler: "" }] } },
      /sluice\.config\.ts: triggers\.USER_NEW\[0\]\.handler: .*"".* the URL of an HTTP handler/,
    ],
    [
      { triggers: { USER_NEW: { handle: yes, timeout: 5 } } },
      /triggers\.USER_NEW\.timeout is no known setting; did you mean "timeoutMs"\?/,
    ],
    [
      { triggers: { USER_NEW: { handle: yes, streams: ["live"] } } },
      /triggers\.USER_NEW\.onFail is missing; it must be said, because USER_NEW lets somebody in: allow\(\), deny\(reason\), lastKnown\(\)/,
    ],
    [
      { triggers: { PUSH_REWRITE: [yes, { handle: yes, maxCalls: 5 }] } },
      /triggers\.PUSH_REWRITE\[1\]\.onFail is missing; .*deny\(reason\), keep\(\), rewrite\(value\), lastKnown\(\)/,
    ],
    [{ triggers: { USER_NEW: { handle: yes, onFail: { timeout: true } } } }, /triggers\.USER_NEW\.onFail\.default is missing/],
    [
      { triggers: { USER_NEW: { handle: yes, onFail: { slow: true, default: false } } } },
      /triggers\.USER_NEW\.onFail\.slow is no cause of failure; known are timeout, connection/,
    ],
    [
      { triggers: { USER_NEW: { handle: yes, onFail: "allow" } } },
      /triggers\.USER_NEW\.onFail is no answer of this trigger: here stands "allow"/,
    ],
    [
      { triggers: { USER_END: { handle: yes, onFail: true } } },
      /triggers\.USER_END\.onFail is no answer .* left out: nobody waits for the answer/,
    ],
    [{ triggers: { USER_NEW: { handle: yes, onFail: true, maxCalls: 0 } } }, /triggers\.USER_NEW\.maxCalls: here stands 0/],
    [{ triggers: { USER_NEW: { handle: yes, onFail: true, breaker: { failures: 0 } } } }, /USER_NEW\.breaker\.failures: here stands 0/],
    [
      { triggers: { USER_NEW: [{ handler: "/x", sync: true, onFail: "yes" }] } },
      /triggers\.USER_NEW\[0\]\.onFail is no answer .*"allow", "deny: REASON", "last-known"/,
    ],
    [
      { triggers: { USER_NEW: { handle: yes, timeoutMs: -1 } } },
      /triggers\.USER_NEW\.timeoutMs is -1; it must be a number of milliseconds/,
    ],
    [{ protocols: { rtpm: {} } }, 'sluice.config.ts: protocols.rtpm is no known protocol; did you mean "rtmp"?'],
    [{ protocols: { rtmp: { chunkSize: "x" } } }, 'sluice.config.ts: protocols.rtmp: chunkSize is "x"; it must be a number of bytes'],
    [5, "sluice.config.ts: the configuration is 5; it must be an object"],
  ])("%j", (value, message) => {
    if (typeof message === "string") expect(problemOf(value)).toBe(message);
    else expect(problemOf(value)).toMatch(message);
  });

  it("names every wrong field and never shows a password", () => {
    const text = problemOf({ host: 5, account: { admin: { password: "hunter2" } } });
    expect(text.split("\n")).toHaveLength(2);
    expect(text).toContain("account.admin.password is wrong");
    expect(text).not.toContain("hunter2");
  });

  it("takes anything or says what is wrong, in MistServer's shape too", () => {
    const keys = fc.constantFrom(
      "streams",
      "account",
      "triggers",
      "protocols",
      "trustedproxy",
      "host",
      "apiPort",
      "tknMode",
      "config",
      "controller",
    );
    const value = fc.letrec<{ any: unknown }>((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.jsonValue({ maxDepth: 2 }),
        fc.dictionary(fc.oneof(keys, fc.string()), tie("any")),
        fc.array(tie("any")),
      ),
    })).any;
    fc.assert(fc.property(value, (config) => problemOf(config) !== ""));
    fc.assert(fc.property(fc.dictionary(keys, value), (config) => problemOf({ config }) !== ""));
  });

  it("parts functions from MistServer's entries and keeps these as they are", () => {
    const handle = (): boolean => true;
    const entry = { handler: "http://127.0.0.1/t", sync: true, streams: ["live"], "x-note": "kept" };
    const { handlers, settings } = readConfiguration(
      { triggers: { USER_NEW: [handle, entry, ["/bin/true", true]], CONN_OPEN: { handle, streams: ["a"], timeoutMs: 5, onFail: true } } },
      "x",
    );
    expect(settings.triggers).toEqual({ USER_NEW: [entry, ["/bin/true", true]] });
    expect(handlers).toEqual([
      { name: "USER_NEW", handle, options: {} },
      { name: "CONN_OPEN", handle, options: { streams: ["a"], timeoutMs: 5, onFail: true } },
    ]);
  });
});

describe("files, flags and environment", () => {
  let cwd: string;
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), "sluice-config-"));
  });
  afterEach(() => rmSync(cwd, { recursive: true, force: true }));
  const load = (flags: Flags = {}, environment: Record<string, string> = {}, file?: string) =>
    loadConfiguration({ cwd, flags, environment, file, protocols: [rtmp] });

  it("needs no file", async () => {
    expect(await load()).toMatchObject({ file: undefined, settings: { apiPort: 4242 }, mist: undefined, handlers: [] });
  });

  it("takes MistServer's own file by its own name", async () => {
    writeFileSync(
      join(cwd, "mistserver.conf"),
      JSON.stringify({ config: { controller: { port: 4243 } }, streams: { live: { source: "push://" } } }),
    );
    const { settings } = await load({}, {}, "mistserver.conf");
    expect([settings.apiPort, Object.keys(settings.streams)]).toEqual([4243, ["live"]]);
  });

  it("takes flags before the environment before the file", async () => {
    writeFileSync(join(cwd, "sluice.config.json"), '{"rtmpPort":1, "httpPort":2, "apiPort":3, "logLevel":"warn", "rtmpHost":"::1"}');
    const { settings, file } = await load(
      { rtmpPort: "11", host: "127.0.0.1" },
      { SLUICE_RTMP_PORT: "21", SLUICE_HTTP_PORT: "22", SLUICE_DATA: "" },
    );
    expect(file).toBe("sluice.config.json");
    expect(settings).toMatchObject({ rtmpPort: 11, httpPort: 22, apiPort: 3, logLevel: "WARN", data: "data" });
    expect(settings).toMatchObject({ host: "127.0.0.1", rtmpHost: "127.0.0.1", httpHost: "127.0.0.1", apiHost: "127.0.0.1" });
  });

  it.each([
    [{ rtmpPort: "abc" }, {}, '--rtmp-port is "abc"; it must be a port number from 0 to 65535'],
    [{ apiPort: "70000" }, {}, '--api-port is "70000"; it must be a port number from 0 to 65535'],
    [{}, { SLUICE_HTTP_PORT: "-1" }, 'SLUICE_HTTP_PORT is "-1"; it must be a port number from 0 to 65535'],
    [{ logLevel: "loud" }, {}, /--log-level is "loud"; it must be one of FAIL, ERROR/],
    [{}, { SLUICE_CONFIG: "nowhere.ts" }, "nowhere.ts: there is no such file; --config (or SLUICE_CONFIG) must name one"],
  ])("names a wrong flag or variable: %j %j", async (flags, environment, message) => {
    await expect(load(flags, environment as Record<string, string>)).rejects.toThrow(message);
  });

  it("says which file is no JSON, which cannot be loaded, and which has no configuration", async () => {
    writeFileSync(join(cwd, "a.json"), "{");
    writeFileSync(join(cwd, "b.js"), "throw new Error('no such database')");
    writeFileSync(join(cwd, "c.mjs"), "export const config = {};");
    await expect(load({}, {}, "a.json")).rejects.toThrow(/^a\.json is no valid JSON: /);
    await expect(load({}, {}, "b.js")).rejects.toThrow("b.js cannot be loaded: no such database");
    await expect(load({}, {}, "c.mjs")).rejects.toThrow("c.mjs has no configuration; write `export default defineConfig({ ... })`");
  });

  it('loads a TypeScript file anywhere: `import "sluice"` means this Sluice, in files beside it too, without a warning', async () => {
    mkdirSync(join(cwd, "lib"));
    writeFileSync(join(cwd, "package.json"), "{}");
    writeFileSync(
      join(cwd, "lib", "rules.mts"),
      'import { deny } from "sluice";\nimport { createReceiver } from "sluice/receiver";\nexport const no = (reason: string) => (typeof createReceiver === "function" ? deny(reason) : deny());\n',
    );
    writeFileSync(
      join(cwd, "sluice.config.ts"),
      `import { defineConfig, rewrite } from "sluice";
       import { no } from "./lib/rules.mts";
       type Name = string;
       export default defineConfig({
         streams: { live: "push://" },
         triggers: { PUSH_REWRITE: ({ stream }) => (stream === "key" ? rewrite("live" as Name) : no("unknown key")) },
       });`,
    );
    const script = `
      const { loadConfiguration } = await import(${JSON.stringify(new URL("./load.ts", import.meta.url).href)});
      const { handlers, settings } = await loadConfiguration({ cwd: ${JSON.stringify(cwd)} });
      const ask = (stream) => handlers[0].handle({ stream });
      console.log(JSON.stringify([settings.streams, ask("key"), ask("other")]));`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: tmpdir() });
    let [output, errors] = ["", ""];
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    await once(child, "close");
    expect(errors).toBe("");
    expect(JSON.parse(output)).toEqual([
      { live: { source: "push://" } },
      { kind: "rewrite", to: "live" },
      { kind: "deny", reason: "unknown key" },
    ]);
  });

  it("imports a changed file anew", async () => {
    const script = `
      import { writeFileSync } from "node:fs";
      const { loadConfiguration } = await import(${JSON.stringify(new URL("./load.ts", import.meta.url).href)});
      const file = ${JSON.stringify(join(cwd, "sluice.config.ts"))};
      const ports = [];
      for (const version of [0, 1]) {
        writeFileSync(file, "export default { apiPort: " + (1000 + version) + " as number }");
        ports.push((await loadConfiguration({ cwd: ${JSON.stringify(cwd)} })).settings.apiPort);
      }
      console.log(JSON.stringify(ports));`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
    let output = "";
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    await once(child, "close");
    expect(JSON.parse(output)).toEqual([1000, 1001]);
  });
});
