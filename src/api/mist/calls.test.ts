import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { describe, expect, it } from "vitest";
import { join, startApi } from "../../../test/support/api-server.ts";
import { allow, deny } from "../../base/decision.ts";
import { callNames } from "./calls.ts";
import { describedCalls } from "./reference.ts";

const live = { streams: { live: { source: "push://" } } };
const lastWarning = (api: Awaited<ReturnType<typeof startApi>>): string | undefined =>
  api.lines.findLast(({ kind }) => kind === "WARN")?.message;

describe("hostile and odd values", () => {
  const odd: readonly unknown[] = [
    null,
    true,
    0,
    -1,
    1e300,
    "",
    "x",
    "\u0000../..",
    [],
    [null],
    [[]],
    ["a", 1, {}],
    {},
    { a: null },
    { a: { b: [] } },
    { "": "" },
    { ["__proto__"]: "x", constructor: [1] },
    { fields: 7, streams: 7, protocols: {}, time: "x", start: [], end: {}, sessids: 1, hosts: true },
    { config: 1, streams: [] },
    { config: { protocols: [7] }, streams: {} },
    [{ connector: "HLS" }, 1],
  ];

  // `shutdown` ends the server, and `config` and `streams` are replaced by what is given: they have tests of their own.
  it.each(callNames.filter((name) => name !== "shutdown"))(
    "%s: every shape is answered, with 200, and the server works on",
    async (name) => {
      await using api = await startApi({ config: live, streams: { live: {} } });
      for (const value of odd) {
        const answer = await api.ask({
          path: "/api2",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ [name]: value }),
        });
        expect([answer.status, answer.json["LTS"]], JSON.stringify(value)).toEqual([200, 1]);
        expect(String(answer.json["error"] ?? ""), JSON.stringify(value)).not.toMatch(/failed:|undefined|not a function|Cannot read/);
      }
      expect(api.lines.filter(({ kind }) => kind === "ERROR")).toEqual([]);
      expect((await api.call({ api_endpoint: true }))["api_endpoint"]).toBeTypeOf("string");
    },
  );
});

describe("tags", () => {
  it("of the server: replaced, added, removed; sorted, each once; kept", async () => {
    await using api = await startApi();
    expect(await api.call({ tags: true })).toMatchObject({ tags: [] });
    expect(await api.call({ tags: ["b", "a", "b", ""] })).toMatchObject({ tags: ["a", "b"] });
    expect(await api.call({ add_tag: "c" })).toMatchObject({ tags: ["a", "b", "c"] });
    expect(await api.call({ add_tag: ["a", "d"] })).toMatchObject({ tags: ["a", "b", "c", "d"] });
    expect(await api.call({ remove_tag: ["a", "nope"] })).toMatchObject({ tags: ["b", "c", "d"] });
    expect(await api.call({ remove_tag: "b" })).toMatchObject({ tags: ["c", "d"] });
    expect(api.configuration.settings.kept["tags"]).toEqual(["c", "d"]);
    expect(await api.call({ config: {} })).not.toHaveProperty("config.tags");
  });

  it("of streams: beside the configured ones, in stream_tags, active_streams and for `#tag` of triggers", async () => {
    const config = { streams: { live: { source: "push://", tags: ["hd"] } } };
    await using api = await startApi({ config, streams: { live: {}, "live+one": {} } });
    expect(await api.call({ tag_stream: { live: "vip", "live+one": ["a", "b"], Soon: "x" } })).toEqual({ LTS: 1 });
    expect(await api.call({ stream_tags: true })).toMatchObject({ stream_tags: { live: ["hd", "vip"], "live+one": ["hd", "a", "b"] } });
    expect(await api.call({ stream_tags: "soon" })).toMatchObject({ stream_tags: { soon: ["x"] } });
    expect(await api.call({ stream_tags: ["soon", "never"] })).toMatchObject({ stream_tags: { soon: ["x"], never: [] } });
    expect(await api.call({ stream_tags: { "live+one": 1 } })).toMatchObject({ stream_tags: { "live+one": ["hd", "a", "b"] } });
    expect(await api.call({ untag_stream: { live: ["hd"], "live+one": "a" } })).toEqual({ LTS: 1 });
    expect(await api.call({ active_streams: ["tags"] })).toMatchObject({ active_streams: { live: [["vip"]], "live+one": [["hd", "b"]] } });
    await api.call({ tag_stream: { live: "x".repeat(600) } });
    expect(lastWarning(api)).toContain("512 bytes");
  });

  it("of sessions: given and taken, shown by `clients` when asked for", async () => {
    await using api = await startApi();
    using session = await join(api.sessions, { stream: "live" });
    await api.call({ tag_sessid: { [session.sessionId]: ["a", "b"] } });
    await api.call({ untag_sessid: { [session.sessionId]: "a" } });
    expect(await api.call({ clients: { fields: ["tags"] } })).toMatchObject({ clients: { fields: ["tags"], data: [[["b"]]] } });
    await api.call({ untag_sessid: { [session.sessionId]: "a" } });
    expect(lastWarning(api)).toContain("no such tag");
    await api.call({ tag_sessid: { nobody: "a" } });
    expect(lastWarning(api)).toContain("no such session");
  });
});

describe("sessions", () => {
  it("invalidate_sessid asks again about exactly these, and a no ends them", async () => {
    await using api = await startApi();
    let asked = 0;
    const joined = (token: string) =>
      api.sessions.join(
        { type: "viewer", stream: "live", address: "203.0.113.1", token, protocol: "HLS", url: "" },
        async (_id, first) => (asked++, first ? allow() : deny("not any more")),
      );
    using anna = await joined("anna");
    using bert = await joined("bert");
    expect(await api.call({ invalidate_sessid: [anna.sessionId, "nobody"] })).toEqual({ LTS: 1 });
    await expect.poll(() => anna.signal.aborted).toBe(true);
    expect([asked, bert.signal.aborted]).toEqual([3, false]);
  });

  it("stop_sessions takes `base+` and `*` too", async () => {
    await using api = await startApi();
    const names = ["live", "live+a", "live+b", "other"];
    const connections = await Promise.all(names.map((stream) => join(api.sessions, { stream })));
    const alive = (): string[] => names.filter((_, at) => !connections[at]?.signal.aborted);
    await api.call({ stop_sessions: { "live+": "" } });
    expect(alive()).toEqual(["live", "other"]);
    await api.call({ stop_sessions: "l*e" });
    expect(alive()).toEqual(["other"]);
  });

  it("clients: filters of FrameWorks' fork, several at once", async () => {
    await using api = await startApi();
    using anna = await join(api.sessions, { stream: "live", token: "a", address: "203.0.113.1" });
    using bert = await join(api.sessions, { stream: "live", token: "b", address: "203.0.113.2" });
    const ids = async (question: object): Promise<unknown> =>
      ((await api.call({ clients: { fields: ["sessid"], ...question } }))["clients"] as { data: unknown[][] | null }).data?.flat();
    expect(await ids({ sessids: [anna.sessionId] })).toEqual([anna.sessionId]);
    expect(await ids({ hosts: ["203.0.113.2"] })).toEqual([bert.sessionId]);
    expect(await ids({ hosts: ["203.0.113.2"], sessids: [anna.sessionId] })).toBeUndefined();
  });
});

describe("bandwidth, ui_settings", () => {
  it("are asked for, set in part, and kept", async () => {
    await using api = await startApi();
    const usual = { limit: 134_217_728, exceptions: ["::1", "127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"] };
    expect(await api.call({ bandwidth: true, ui_settings: true })).toEqual({ LTS: 1, bandwidth: usual, ui_settings: null });
    expect(await api.call({ bandwidth: { limit: 5000 } })).toMatchObject({ bandwidth: { ...usual, limit: 5000 } });
    expect(await api.call({ bandwidth: { exceptions: [] } })).toMatchObject({ bandwidth: { limit: 5000, exceptions: [] } });
    const wrong = await api.call({ bandwidth: { limit: "much", exceptions: [7] } });
    expect(wrong).toMatchObject({
      bandwidth: { limit: 5000, exceptions: [] },
      error: expect.stringMatching(/limit must be .*\n.*exceptions must/),
    });
    expect(await api.call({ ui_settings: { sort: "name", deep: { a: [1] } } })).toMatchObject({
      ui_settings: { sort: "name", deep: { a: [1] } },
    });
  });
});

describe("the whole configuration", () => {
  const config = {
    config: { serverid: "edge-1", tknMode: 3, triggers: { USER_NEW: [{ handler: "http://127.0.0.1:9/t", sync: true, streams: [] }] } },
    account: { admin: { password: "0".repeat(32) } },
    streams: { live: { source: "push://", tags: ["a"] }, other: { source: "push://" } },
    tags: ["server-tag"],
  };

  it("is backed up without secrets and volatile members, and restored as it was", async () => {
    await using api = await startApi({ config });
    const { config_backup: backup } = await api.call({ config_backup: true });
    expect(JSON.stringify(backup)).not.toContain("0".repeat(32));
    expect(backup).toMatchObject({ tags: ["server-tag"], streams: { live: { name: "live", source: "push://", tags: ["a"] } } });
    for (const volatile of ["iid", "time", "version"]) expect(backup).not.toHaveProperty(`config.${volatile}`);
    expect(JSON.stringify(backup)).not.toContain('"online"');

    const before = JSON.stringify({ ...(await api.call({ config: true, streams: true, tags: true, ui_settings: true })) });
    await api.call({
      config: { serverid: "changed", tknMode: 15, triggers: null, defaultStream: "x", prometheus: "y" },
      deletestream: "other",
      addstream: { new: { source: "push://" } },
      remove_tag: "server-tag",
      ui_settings: { a: 1 },
    });
    expect(await api.call({ config_restore: backup })).toEqual({ LTS: 1, authorize: { status: "OK", local: true } });
    expect(JSON.stringify(await api.call({ config: true, streams: true, tags: true, ui_settings: true }))).toBe(before);
    expect(Object.keys(api.configuration.settings.account)).toEqual(["admin"]);
  });

  it("is not changed at all by what cannot be restored", async () => {
    await using api = await startApi({ config });
    const { settings } = api.configuration;
    for (const wrong of [{}, { streams: {} }, { config: { tknMode: 99 }, streams: {} }, { config: { protocols: 7 }, streams: {} }]) {
      expect(await api.call({ config_restore: wrong })).toMatchObject({ error: expect.stringContaining("nothing was changed") });
    }
    expect(api.configuration.settings).toBe(settings);
  });

  it("is read again by config_reload", async () => {
    await using api = await startApi({ config: live });
    expect(await api.call({ config_reload: true })).toEqual({ LTS: 1 });
    expect(api.reloads).toEqual(["config_reload"]);
  });
});

describe("variables", () => {
  it("are added in each form, listed, used in sources at once, and removed", async () => {
    const config = { streams: { live: { source: "push://$place", fallback_stream: "$other" } } };
    await using api = await startApi({ config });
    expect(await api.call({ variable_list: true })).toEqual({ LTS: 1, variable_list: null });
    expect(api.configuration.stream("live")).toMatchObject({ source: "push://$place", fallback_stream: "$other" });
    await api.call({ variable_add: ["place", " here "] });
    await api.call({ variable_add: { name: "other", value: "slate" } });
    await api.call({ variable_add: ["asked", "http://127.0.0.1:1/", 30, "before", 5] });
    expect(await api.call({ variable_add: ["command", "date +%s", 0] })).toMatchObject({
      variable_list: {
        place: { value: "here", waitTime: 0 },
        other: { value: "slate", waitTime: 0 },
        asked: { interval: 30, target: "http://127.0.0.1:1/", value: "before", waitTime: 5 },
        command: { interval: 0, target: "date +%s", value: "", waitTime: 0 },
      },
    });
    expect(api.configuration.stream("live")).toMatchObject({ source: "push://here", fallback_stream: "slate" });
    api.configuration.found("asked", "now");
    expect(await api.call({ variable_list: true })).toMatchObject({ variable_list: { asked: { value: "now" } } });
    await api.call({ variable_add: ["asked", "http://127.0.0.1:1/", 60, "again"] });
    expect(await api.call({ variable_remove: ["place", "command"] })).toMatchObject({
      variable_list: { other: { value: "slate" }, asked: { value: "again", interval: 60 } },
    });
    expect(api.configuration.stream("live")?.source).toBe("push://$place");
    expect(await api.call({ streams: true })).toMatchObject({ streams: { live: { source: "push://$place" } } });
  });

  it.each([
    [["stream", "x"]],
    [["a b", "x"]],
    [["x".repeat(32), "x"]],
    [["x", "http://a/", -1]],
    [["x", "date", "soon"]],
    [["x", {}]],
    [["x", 1, 1]],
    [7],
  ])("%j is refused with words", async (value) => {
    await using api = await startApi();
    expect(await api.call({ variable_add: value })).toMatchObject({
      error: expect.stringContaining("variable_add takes"),
      variable_list: null,
    });
  });
});

describe("updateprotocol", () => {
  it("puts one connector in the place of another, and tells when there is none", async () => {
    await using api = await startApi({
      config: { config: { protocols: [{ connector: "HTTP" }, { connector: "HLS", a: 1 }] }, streams: {} },
    });
    const entries = async (): Promise<unknown> =>
      ((await api.call({ config: true }))["config"] as { protocols: Record<string, unknown>[] }).protocols.map(({ connector, a }) => ({
        connector,
        ...(a !== undefined && { a }),
      }));
    await api.call({
      updateprotocol: [
        { connector: "HLS", a: 1, online: 1 },
        { connector: "HLS", a: 2 },
      ],
    });
    expect(await entries()).toEqual([{ connector: "HTTP" }, { connector: "HLS", a: 2 }]);
    expect(await api.call({ updateprotocol: [{ connector: "HLS", a: 1 }, { connector: "FLV" }] })).toMatchObject({
      error: "updateprotocol: no HLS has these options",
    });
    expect(await api.call({ updateprotocol: { connector: "HLS" } })).toMatchObject({ error: expect.stringContaining("the old one") });
  });
});

describe("no_unconfigured_streams", () => {
  it("ends what plays under a name that is not configured, unless every name may", async () => {
    await using api = await startApi({ config: live, streams: { live: {}, "live+a": {}, stranger: {} } });
    expect(await api.call({ no_unconfigured_streams: true })).toEqual({ LTS: 1 });
    expect(Object.keys(api.streams)).toEqual(["live", "live+a"]);
    await using open = await startApi({ streams: { stranger: {} } });
    await open.call({ no_unconfigured_streams: true });
    expect(Object.keys(open.streams)).toEqual(["stranger"]);
  });
});

describe("files", () => {
  async function media() {
    const folder = mkdtempSync(joinPath(tmpdir(), "sluice-files-"));
    mkdirSync(joinPath(folder, "media/more"), { recursive: true });
    mkdirSync(joinPath(folder, "secret"));
    for (const name of ["media/a.mp4", "media/b.mp4", "media/more/c.mp4", "secret/key"]) writeFileSync(joinPath(folder, name), "x");
    symlinkSync(joinPath(folder, "secret"), joinPath(folder, "media/way-out"));
    const path = (name: string): string => joinPath(folder, name);
    const streams = {
      a: { source: path("media/a.mp4") },
      b: { source: path("media/b.mp4") },
      b2: { source: path("media/b.mp4") },
      wild: { source: path("media/more/$wildcard.mp4") },
      gone: { source: path("media/gone.mp4") },
      push: { source: "push://" },
      folder: { source: path("media/more") },
    };
    const api = await startApi({ config: { streams } });
    return {
      api,
      path,
      async [Symbol.asyncDispose]() {
        await api[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true });
      },
    };
  }

  it("browse shows folders of configured sources and what is below, and nothing else", async () => {
    await using scene = await media();
    const { api, path } = scene;
    const browse = async (value: unknown): Promise<unknown> => (await api.call({ browse: value }))["browse"];
    const all = { path: [path("media")], files: ["a.mp4", "b.mp4"], subdirectories: ["more", "way-out"] };
    expect(await browse(path("media"))).toEqual(all);
    expect(await browse("")).toEqual(all);
    expect(await browse(path("media/more/../more"))).toEqual({ path: [path("media/more")], files: ["c.mp4"], subdirectories: [] });
    for (const elsewhere of ["/", "/etc", path("secret"), path("media/way-out"), path("media/.."), path("media-2"), "relative"])
      expect(await browse(elsewhere), elsewhere).toEqual({ path: [elsewhere] });
  });

  it("deletestreamsource deletes a stream's own plain file, and says what it did", async () => {
    await using scene = await media();
    const { api, path } = scene;
    const remove = async (value: unknown): Promise<unknown> => (await api.call({ deletestreamsource: value }))["deletestreamsource"];
    const kept = "-1: Stream deleted, source remains";
    expect(await remove("nobody")).toBe("0: No action taken");
    expect(await remove("a")).toBe("1: Source file deleted");
    expect(await remove(["b", "folder", 7])).toEqual([kept, kept, "0: No action taken"]);
    expect(await remove({ wild: 1, gone: 1, push: 1 })).toEqual({ wild: kept, gone: kept, push: kept });
    expect(["media/a.mp4", "media/b.mp4", "media/more/c.mp4"].map((name) => existsSync(path(name)))).toEqual([false, true, true]);
    expect(Object.keys(api.configuration.settings.streams)).toEqual(["b2"]);
  });

  it("deletestreamsource touches nothing when STREAM_REMOVE says no", async () => {
    await using scene = await media();
    const { api, path } = scene;
    using _ = api.triggers.on("STREAM_REMOVE", () => deny("keep it"));
    expect(await api.call({ deletestreamsource: "a" })).toMatchObject({ deletestreamsource: "0: No action taken" });
    expect([existsSync(path("media/a.mp4")), "a" in api.configuration.settings.streams]).toEqual([true, true]);
  });
});

describe("the reference page", () => {
  it("describes exactly the calls that there are", () => {
    expect(Object.keys(describedCalls).toSorted()).toEqual([...callNames].toSorted());
  });
});

describe("what Sluice does not have", () => {
  it("pushes: an empty state in MistServer's shapes; what would start one is refused with words", async () => {
    await using api = await startApi();
    expect(
      await api.call({ push_list: true, push_auto_list: true, push_settings: true, push_stop: [1], push_auto_remove: [["a", "b"]] }),
    ).toEqual({
      LTS: 1,
      push_list: null,
      auto_push: null,
      push_auto_list: null,
      push_settings: { maxspeed: 0, wait: 3 },
    });
    expect(await api.call({ push_settings: { wait: 10 } })).toMatchObject({ push_settings: { maxspeed: 0, wait: 10 } });
    expect(await api.call({ push_start: ["live", "rtmp://x/y"], push_auto_add: { stream: "live", target: "rtmp://x/y" } })).toMatchObject({
      push_auto_list: null,
      error: expect.stringMatching(/^push_start: .*\npush_auto_add: /),
    });
  });

  it("processes and old logs: nothing", async () => {
    await using api = await startApi();
    expect(await api.call({ proc_list: "live", clearstatlogs: true, save: true, camera_list: true })).toEqual({ LTS: 1, proc_list: {} });
  });
});
