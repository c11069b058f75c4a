import { describe, expect, it } from "vitest";
import { allow, deny, rewrite } from "../base/decision.ts";
import { lastKnown } from "../triggers/failure/on-fail.ts";
import { defineConfig } from "./define.ts";

describe("defineConfig", () => {
  it("types what a handler gets and may answer; a wrong answer does not compile", () => {
    const config = defineConfig({
      streams: { live: "push://", vod: { source: "/media/a.mp4", tags: ["x"] } },
      triggers: {
        PUSH_REWRITE: async ({ stream }) => (stream === "secret" ? rewrite("live") : deny("unknown key")),
        USER_NEW: {
          streams: ["live"],
          timeoutMs: 2000,
          onFail: deny("try again in a minute"),
          handle: async ({ cookies, stream }) =>
            cookies["user"] === stream ? allow({ recheckEvery: "5m" }) : deny("please subscribe first"),
        },
        STREAM_PUSH: [
          { handler: "http://127.0.0.1:9100/t", sync: true },
          ["/bin/true", true, ["live"]],
          ({ host }) => host !== "203.0.113.5",
        ],
        // @ts-expect-error a verdict is no name
        CONN_OPEN: async () => rewrite("live"),
        // @ts-expect-error PLAY_REWRITE has no field `state`
        PLAY_REWRITE: ({ state }) => String(state),
      },
    });
    expect(Object.keys(config.triggers ?? {})).toContain("USER_NEW");
  });

  it("wants to know what holds on failure where somebody is let in", () => {
    const config = defineConfig({
      triggers: {
        // @ts-expect-error onFail is missing
        USER_NEW: { streams: ["live"], handle: () => true },
        // @ts-expect-error onFail is missing
        PUSH_REWRITE: [{ handle: () => "live", timeoutMs: 100 }],
        CONN_PLAY: { mode: "shadow", handle: () => true },
        STREAM_LOAD: { handle: () => true },
        PLAY_REWRITE: { onFail: lastKnown(deny("later")), handle: () => "live" },
        STREAM_PUSH: [
          { handler: "http://127.0.0.1/t", sync: true, onFail: { open: "last-known", timeout: "allow", default: "deny: later" } },
          // @ts-expect-error a verdict has no value
          { handler: "http://127.0.0.1/t", sync: true, onFail: "value: live" },
        ],
        RTMP_PUSH_REWRITE: { handler: "/bin/rewrite", sync: true, onFail: "value: rtmp://localhost/live/backup", maxCalls: 4 },
      },
    });
    expect(Object.keys(config.triggers ?? {})).toHaveLength(7);
  });

  it("knows its own fields only", () => {
    // @ts-expect-error the setting is called rtmpPort
    expect(defineConfig({ rtmpport: 1 })).toBeDefined();
    // @ts-expect-error there is no such trigger
    expect(defineConfig({ triggers: { USER_NEWW: () => true } })).toBeDefined();
  });
});
