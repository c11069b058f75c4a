import { describe, expect, it } from "vitest";
import { callNames } from "./calls.ts";
import { scopeOfCall } from "./call-scopes.ts";

const namesWith = (scope: string, value: unknown = {}) => [...callNames].filter((name) => scopeOfCall(name, value) === scope).sort();

describe("what a call needs", () => {
  it("is `read` for those that look, and `operate` for those that act on what runs", () => {
    expect(namesWith("read")).toEqual(
      [
        "active_streams",
        "api_endpoint",
        "capabilities",
        "clients",
        "load",
        "proc_list",
        "push_auto_list",
        "push_list",
        "save",
        "stats_streams",
        "stream_tags",
        "totals",
        "version",
      ].filter((name) => callNames.includes(name)),
    );
    expect(namesWith("operate")).toEqual([
      "invalidate_sessid",
      "invalidate_sessions",
      "nuke_stream",
      "stop_sessid",
      "stop_sessions",
      "stop_tag",
      "tag_sessid",
      "tag_stream",
      "untag_sessid",
      "untag_stream",
    ]);
  });

  it("is `admin` for all others, for what shows the whole configuration or the disk, and for what is not known", () => {
    const admin = namesWith("admin");
    expect(admin).toEqual(
      expect.arrayContaining([
        "addstream",
        "browse",
        "config",
        "config_backup",
        "config_restore",
        "deletestream",
        "jwks",
        "shutdown",
        "streamkeys",
        "streams",
      ]),
    );
    for (const name of ["no_such_call", "constructor", "__proto__", ""]) expect(scopeOfCall(name, 1)).toBe("admin");
  });

  it("depends on the value where no object means a question", () => {
    for (const name of ["config", "streams"]) {
      for (const value of [true, 1, null, ""]) expect(scopeOfCall(name, value), name).toBe("read");
      for (const value of [{}, [], [1]]) expect(scopeOfCall(name, value), name).toBe("admin");
    }
  });
});
