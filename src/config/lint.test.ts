import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { allow, deny, keep } from "../base/decision.ts";
import { lastKnown } from "../triggers/failure/on-fail.ts";
import type { Config } from "./define.ts";
import { lintConfiguration } from "./lint.ts";
import { readConfiguration } from "./load.ts";

describe("lint", () => {
  let cwd: string;
  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), "sluice-lint-"));
    mkdirSync(join(cwd, "bin"));
    writeFileSync(join(cwd, "bin/ask"), "#!/bin/sh\necho true\n");
    chmodSync(join(cwd, "bin/ask"), 0o755);
    writeFileSync(join(cwd, "bin/plain"), "text");
    chmodSync(join(cwd, "bin/plain"), 0o644);
  });
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  const lint = (value: object): string[] =>
    lintConfiguration({ ...readConfiguration(value, "x"), file: "x", overrides: {} }, { cwd, searchPath: join(cwd, "bin") }).map(
      ({ severity, path, message }) => `${severity} ${path}: ${message}`,
    );
  const own = (value: Config): string[] => lint(value);
  const entries = (name: string, ...list: unknown[]): string[] => lint({ config: { triggers: { [name]: list } } });
  const local = "http://127.0.0.1:9100/t";

  it("says nothing about what fails closed", () => {
    expect(
      own({
        streams: { live: { source: "push://", fallback_stream: "slate" }, slate: "push://" },
        triggers: {
          USER_NEW: [() => true, { handler: local, sync: true }, ["ask", true], { handler: "bin/ask", sync: true, default: "false" }],
          PUSH_REWRITE: { onFail: deny("later"), handle: () => "live" },
          PLAY_REWRITE: { onFail: lastKnown(), handle: () => "live" },
          RTMP_PUSH_REWRITE: { handler: local, sync: true, onfail: "deny" },
          STREAM_BUFFER: { handler: local },
        },
      }),
    ).toEqual([]);
  });

  it.each<[string, object, RegExp]>([
    ["USER_NEW", { default: "true" }, /USER_NEW fails open: when it fails, everybody is let in/],
    ["USER_NEW", { onfail: "legacy" }, /everybody is let in/],
    ["PUSH_REWRITE", {}, /PUSH_REWRITE fails open: when it fails, everybody goes on under the name that they gave/],
    ["PUSH_REWRITE", { onfail: "keep" }, /under the name that they gave/],
    ["PUSH_REWRITE", { default: "live" }, /everybody goes on to "live"/],
  ])("names a handler of %s with %j, which fails open", (name, more, words) => {
    const findings = entries(name, { handler: local, sync: true, ...more });
    expect(findings).toEqual([expect.stringMatching(/^warning config\.triggers\.\w+\[0\]: /)]);
    expect(findings[0]).toMatch(words);
    expect(entries(name, { handler: local, sync: true, ...more, onfail: "deny" })).toEqual([]);
  });

  it("notes what fails open on purpose, by which cause, and who is only told", () => {
    expect(own({ triggers: { USER_NEW: { onFail: { timeout: allow(), open: true, default: false }, handle: () => true } } })).toEqual([
      expect.stringMatching(/^note triggers\.USER_NEW: USER_NEW fails open: when it fails by timeout, open, everybody is let in/),
    ]);
    expect(entries("USER_NEW", { handler: local, sync: false })).toEqual([expect.stringMatching(/^note .*only told \(sync: false\)/)]);
    expect(entries("USER_NEW", { handler: local, sync: false, mode: "shadow" })).toEqual([]);
  });

  it("names functions that fail open", () => {
    expect(own({ triggers: { PUSH_REWRITE: async ({ stream }) => stream } })).toEqual([]);
    expect(own({ triggers: { PUSH_REWRITE: { onFail: keep(), handle: () => "live" } } })[0]).toMatch(/^note /);
  });

  it("names triggers that do not exist, as far as MistServer's shape lets them pass", () => {
    const findings = lint({ config: { triggers: { USER_NEU: [{ handler: local }] } } });
    expect(findings).toContainEqual(
      expect.stringMatching(/^warning config\.triggers\.USER_NEU: USER_NEU is no known trigger; did you mean "USER_NEW"\?/),
    );
  });

  it.each<[string, object, RegExp | undefined]>([
    ["http://example.com/t?key=hunter2", {}, /^warning .* http:\/\/example\.com\/t is called in the clear and unsigned/],
    ["http://10.0.0.7/t", {}, /in the clear/],
    ["https://example.com/t", {}, undefined],
    ["http://localhost/t", {}, undefined],
    ["http://[::1]:90/t", {}, undefined],
    ["http://example.com/t", { format: "json", secret: `whsec_${"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}` }, undefined],
    ["bin/plain", {}, /may not be executed \(chmod \+x\)/],
    ["bin/nothing", {}, /is no file: each call will fail/],
    ["nothing", {}, /is no file/],
    ["bin", {}, /is no file/],
    ["ask", {}, undefined],
  ])("looks at the handler %s %j", (handler, more, words) => {
    const findings = entries("USER_NEW", { handler, sync: true, ...more });
    expect(findings).toEqual(words ? [expect.stringMatching(words)] : []);
    expect(findings.join()).not.toContain("hunter2");
  });

  it("follows fallbacks and files", () => {
    const push = (fallback_stream: string) => ({ source: "push://", fallback_stream });
    expect(own({ streams: { a: push("b"), b: push("c+x"), c: push("a"), d: push("a"), e: push("e"), f: push("$stream") } })).toEqual([
      "warning streams.a.fallback_stream: the fallbacks go in a circle: a -> b -> c -> a",
      "warning streams.e.fallback_stream: the fallbacks go in a circle: e -> e",
    ]);
    expect(own({ streams: { a: push("z"), b: join("/", "nowhere", "a.mp4") }, defaultStream: "y" })).toEqual([
      'warning streams.a.fallback_stream: there is no stream "z"',
      "warning streams.b.source: there is no file /nowhere/a.mp4",
      'warning defaultStream: there is no stream "y"',
    ]);
    expect(own({ streams: { a: push("z") }, defaultSource: "push://" })).toEqual([]);
  });

  it("warns when one answer holds for all viewers", () => {
    expect(own({ sessionViewerMode: 8, triggers: { USER_NEW: () => true } })).toEqual([
      expect.stringMatching(/^warning sessionViewerMode: .*all viewers are one/),
    ]);
    expect(own({ sessionViewerMode: 8 })).toEqual([]);
  });

  it("warns when nobody can get into the API", () => {
    const account = (scope: "operate" | "admin") => ({ a: { password: "5ebe2294ecd0e0f08eab7690d2a6ee69", scope } });
    expect(own({ apiLocalAccess: false })).toEqual([expect.stringMatching(/^warning apiLocalAccess: nobody can change anything/)]);
    expect(own({ apiLocalAccess: false, account: account("operate") })).toHaveLength(1);
    expect(own({ apiLocalAccess: false, account: account("admin") })).toEqual([]);
    expect(own({})).toEqual([]);
  });
});
