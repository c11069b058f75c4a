import { describe, expect, it } from "vitest";
import { type Import, type SourceFile, sourceFiles } from "../support/source-files.ts";

/**
 * The import table of docs/design/architecture.md. A room may import itself, what `may` lists, and what `types` lists
 * as types only. `node` names the `node:` modules that it may use ("*" for all); `packages` those of npm.
 */
type Rule = {
  readonly may: readonly string[];
  readonly types?: readonly string[];
  readonly node?: readonly string[] | "*";
  readonly packages?: readonly string[] | "*";
};

const rules: Readonly<Record<string, Rule>> = {
  base: { may: [] },
  media: { may: ["base"] },
  codecs: { may: ["base", "media"], node: ["crypto"] },
  containers: { may: ["base", "media", "codecs"] },
  streams: { may: ["base", "media"] },
  sessions: { may: ["base", "media"], node: "*" },
  triggers: { may: ["base"], node: "*", packages: ["undici", "cockatiel"] },
  access: { may: ["base", "media", "streams", "sessions", "triggers"], node: "*", packages: ["jose"] },
  "protocols/*/wire": { may: ["base", "media", "codecs"] },
  "protocols/*": {
    may: ["protocols/protocol.ts", "base", "media", "codecs", "containers"],
    types: ["streams", "sessions"],
    node: "*",
    packages: ["mediabunny"],
  },
  "protocols/protocol.ts": { may: ["base", "media"], types: ["streams", "sessions"] },
  "protocols.ts": { may: ["protocols"] },
  host: { may: ["base"], types: ["protocols/protocol.ts"], node: "*", packages: ["ws"] },
  api: {
    may: [
      "base",
      "media",
      "codecs",
      "containers",
      "streams",
      "sessions",
      "triggers",
      "access",
      "store",
      "config",
      "policies",
      "protocols.ts",
    ],
    types: ["protocols/protocol.ts", "metrics", "policies"],
    node: "*",
    packages: ["hono", "@hono/node-server", "zod", "zod-openapi"],
  },
  store: { may: ["base"], types: ["triggers", "access"], node: "*", packages: ["kysely", "pg"] },
  policies: { may: ["base"], types: ["triggers", "store", "access"], node: "*", packages: ["zod"] },
  receiver: { may: ["base", "triggers", "host/clock.ts"], types: ["policies", "store"], node: "*", packages: ["undici"] },
  config: {
    may: ["base", "triggers", "protocols.ts", "policies"],
    types: ["protocols/protocol.ts", "access", "store"],
    node: "*",
    packages: ["zod"],
  },
  metrics: {
    may: ["base", "streams/stream.ts"],
    types: ["sessions", "streams", "triggers"],
    node: ["os", "perf_hooks"],
    packages: ["prom-client"],
  },
  "operator-code.ts": { may: ["base", "config", "policies"], types: ["triggers"] },
  "receiver-service.ts": {
    may: ["base", "config", "receiver", "store", "triggers", "host/clock.ts", "host/log.ts", "operator-code.ts"],
    types: ["access"],
    node: "*",
  },
  "connectors.ts": { may: ["base", "config"], types: ["host", "protocols/protocol.ts", "triggers"] },
  "index.ts": { may: ["base", "triggers", "config", "policies", "server.ts"] },
  cli: {
    may: ["base", "config", "store", "triggers", "receiver-service.ts", "host/clock.ts"],
    node: "*",
    packages: ["commander", "cli-table3"],
  },
  "cli.ts": { may: ["base", "config", "cli", "server.ts"], node: "*", packages: ["commander"] },
  "server.ts": { may: ["*"], node: "*", packages: "*" },
};

const neverInProtocols = ["node:net", "node:dgram", "node:http", "node:https", "node:http2", "node:tls"];

function roomOf(path: string): string {
  if (/^protocols\/[^/]+\/wire\//.test(path)) return "protocols/*/wire";
  if (/^protocols\/[^/]+\//.test(path)) return "protocols/*";
  if (path === "protocols/protocol.ts") return path;
  return path.split("/")[0] ?? path;
}

function allows(list: readonly string[] | undefined, target: string): boolean {
  return (list ?? []).some((entry) => entry === "*" || target === entry || target.startsWith(`${entry}/`));
}

/** What is wrong with one import, or undefined. */
function fault(file: SourceFile, used: Import): string | undefined {
  const room = roomOf(file.path);
  const rule = rules[room];
  if (!rule) return `${file.path}: the room "${room}" has no rule`;
  const { target } = used;
  if (target.startsWith("node:")) {
    if (room.startsWith("protocols/") && neverInProtocols.includes(target)) return `${file.path} imports ${target}; sockets are the host's`;
    return rule.node === "*" || rule.node?.includes(target.slice(5)) ? undefined : `${file.path} imports ${target}`;
  }
  if (!/\.(ts|mjs|js)$/.test(target)) {
    const name = target
      .split("/")
      .slice(0, target.startsWith("@") ? 2 : 1)
      .join("/");
    return rule.packages === "*" || rule.packages?.includes(name) ? undefined : `${file.path} imports the package ${name}`;
  }
  const ownFolder = /^protocols\/[^/]+\//.exec(file.path)?.[0];
  if (room === "protocols/*" && ownFolder && target.startsWith(ownFolder)) return undefined;
  if (room === "protocols/*/wire" && target.startsWith(file.path.replace(/[^/]+$/, ""))) return undefined;
  if (roomOf(target) === room && room !== "protocols/*" && room !== "protocols/*/wire") return undefined;
  if (allows(rule.may, target)) return undefined;
  if (used.typeOnly && allows(rule.types, target)) return undefined;
  return `${file.path} imports ${target}`;
}

const files = sourceFiles();

describe("the house", () => {
  it("keeps to the import table", () => {
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap((file) => file.imports.map((used) => fault(file, used)).filter((words) => words !== undefined))).toEqual([]);
  });

  it("finds a forbidden import when there is one", () => {
    const file: SourceFile = { path: "streams/x.ts", lines: 1, text: "", imports: [] };
    expect(fault(file, { target: "protocols/rtmp/index.ts", typeOnly: true })).toBe("streams/x.ts imports protocols/rtmp/index.ts");
    expect(fault(file, { target: "node:fs", typeOnly: false })).toBe("streams/x.ts imports node:fs");
    expect(fault({ ...file, path: "protocols/hls/x.ts" }, { target: "protocols/rtmp/play.ts", typeOnly: false })).toBeDefined();
    expect(fault({ ...file, path: "protocols/hls/x.ts" }, { target: "streams/stream.ts", typeOnly: false })).toBeDefined();
    expect(fault({ ...file, path: "protocols/hls/x.ts" }, { target: "streams/stream.ts", typeOnly: true })).toBeUndefined();
  });

  it("has no import cycles", () => {
    const graph = new Map(
      files.map((file) => [
        file.path,
        file.imports.filter((used) => !used.typeOnly && used.target.endsWith(".ts")).map((used) => used.target),
      ]),
    );
    const cycles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
        return;
      }
      if (done.has(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  it("has files of at most 400 lines, tables aside", () => {
    const tables = ["triggers/table.ts"];
    expect(files.filter((file) => file.lines > 400 && !tables.includes(file.path)).map((file) => `${file.path} (${file.lines})`)).toEqual(
      [],
    );
  });

  it("has no default exports and no drawers for everything", () => {
    expect(files.filter((file) => /^export default /m.test(file.text)).map((file) => file.path)).toEqual([]);
    expect(files.filter((file) => /(^|\/)(utils?|helpers?|misc|common)(\.ts|\/)/.test(file.path)).map((file) => file.path)).toEqual([]);
  });
});
