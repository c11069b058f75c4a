import { describe, expect, it } from "vitest";
import { allow, rewrite } from "../base/decision.ts";
import { isSluiceError } from "../base/errors.ts";
import { checkFailed } from "./answer.ts";
import { entryFailure, type HandlerEntry, handlerLabel, parseTriggerEntries } from "./entry.ts";
import { plainCall } from "./call/http-options.ts";

const entry = (more: Partial<HandlerEntry>): HandlerEntry => ({
  handler: "/bin/true",
  sync: true,
  streams: [],
  params: undefined,
  default: undefined,
  onfail: undefined,
  call: plainCall,
  mode: "live",
  delivery: "direct",
  order: "usual",
  ...more,
});

describe("configured entries", () => {
  it("reads both forms, and gives back what was given", () => {
    const given = {
      USER_NEW: [
        { handler: "http://127.0.0.1:9100/t", sync: true, streams: ["live"], default: "false", "x-LSP-note": "mine" },
        ["/usr/bin/ask", 1, ["a", null, "b"], "ignored"],
        ["/usr/bin/tell", false],
      ],
      STREAM_BUFFER: [],
      NO_SUCH_THING: [{ handler: "x" }],
    };
    const entries = parseTriggerEntries(given);
    expect(entries.given).toEqual(given);
    expect(entries.unknown).toEqual(["NO_SUCH_THING"]);
    expect(entries.handlers.get("USER_NEW")).toEqual([
      entry({ handler: "http://127.0.0.1:9100/t", streams: ["live"], default: "false" }),
      entry({ handler: "/usr/bin/ask", streams: ["a", "b"] }),
      entry({ handler: "/usr/bin/tell", sync: false }),
    ]);
    expect(entries.handlers.has("STREAM_BUFFER")).toBe(false);
  });

  it("takes nothing for none", () => {
    expect(parseTriggerEntries(null).handlers.size).toBe(0);
    expect(parseTriggerEntries({ USER_NEW: null }).handlers.size).toBe(0);
  });

  it("keeps long lists and long URLs whole (MistServer cuts them at 256 and 127 bytes)", () => {
    const streams = Array.from({ length: 100 }, (_, index) => `stream-${index}`);
    const handler = `http://127.0.0.1/${"x".repeat(500)}`;
    expect(parseTriggerEntries({ USER_NEW: [{ handler, streams }] }).handlers.get("USER_NEW")?.[0]).toMatchObject({ handler, streams });
  });

  it.each<[value: unknown, words: string]>([
    [[], "config.triggers: here stands []"],
    [{ USER_NEW: "http://x" }, 'config.triggers.USER_NEW: here stands "http://x"; there must be a list of handlers'],
    [{ USER_NEW: [7] }, "config.triggers.USER_NEW[0]: here stands 7"],
    [{ USER_NEW: [{}] }, "config.triggers.USER_NEW[0].handler: here stands nothing"],
    [{ USER_NEW: [{ handler: "http://" }] }, "config.triggers.USER_NEW[0].handler"],
    [{ USER_NEW: [{ handler: "x", sync: [] }] }, "config.triggers.USER_NEW[0].sync"],
    [{ USER_NEW: [{ handler: "x", streams: "live" }] }, "config.triggers.USER_NEW[0].streams: here stands"],
    [{ USER_NEW: [["x", true, [7]]] }, "config.triggers.USER_NEW[0][2][0]"],
    [{ USER_NEW: [{ handler: "x", default: {} }] }, "config.triggers.USER_NEW[0].default"],
    [{ USER_NEW: [{ handler: "x", sync: true, onfail: "keep" }] }, "for USER_NEW one of deny, legacy"],
    [{ PUSH_REWRITE: [{ handler: "x", sync: true, onfail: "value" }] }, "for PUSH_REWRITE one of deny, keep, legacy"],
    [{ USER_END: [{ handler: "x", delivery: "reliable", order: "loose" }] }, 'USER_END[0].order: here stands "loose"'],
    [{ USER_END: [{ handler: "x", order: "strict" }] }, 'beside delivery "reliable"'],
    [{ STREAM_END: [{ handler: "x", delivery: "reliable", order: "strict" }] }, "only the end of a session has a successor"],
    [{ PUSH_REWRITE: [{ handler: "x", onfail: "keep" }] }, "left out where sync is false"],
  ])("names the field that is wrong: %j", (value, words) => {
    let thrown: unknown;
    try {
      parseTriggerEntries(value, "config.triggers");
    } catch (error) {
      thrown = error;
    }
    expect(isSluiceError(thrown, "config.invalid")).toBe(true);
    expect(String(thrown)).toContain(words);
  });

  it("shows no secret of a URL in its label", () => {
    expect(handlerLabel(entry({ handler: "https://user:pass@example.com/t?key=secret#x" }))).toBe("https://example.com/t");
  });
});

describe("what holds when a configured handler fails", () => {
  it("is the default as MistServer reads it, when there is one", () => {
    expect(entryFailure("USER_NEW", entry({ default: "true" }))).toEqual(allow());
    expect(entryFailure("USER_NEW", entry({ default: "0" }))).toBe(checkFailed);
    expect(entryFailure("PUSH_REWRITE", entry({ default: " backup\n" }))).toEqual(rewrite("backup"));
  });
  it("is the table's without one: never the word `true`, and no access", () => {
    expect(entryFailure("USER_NEW", entry({}))).toBe(checkFailed);
    expect(entryFailure("PUSH_REWRITE", entry({}))).toBeUndefined();
    expect(entryFailure("SYSTEM_STOP", entry({}))).toEqual(allow());
  });
  it("is `onfail` before all", () => {
    expect(entryFailure("USER_NEW", entry({ default: "true", onfail: "deny" }))).toBe(checkFailed);
    expect(entryFailure("PUSH_REWRITE", entry({ default: "x", onfail: "keep" }))).toBeUndefined();
    expect(entryFailure("USER_NEW", entry({ onfail: "legacy" }))).toEqual(allow());
    expect(entryFailure("USER_NEW", entry({ onfail: "legacy", default: "false" }))).toBe(checkFailed);
  });
});
