import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { emptyFile, GateBench } from "../../test/support/gate-bench.ts";
import { allow, deny, type Verdict } from "../base/decision.ts";

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.close());

const left = { code: "CLEAN_REMOTE_CLOSE", text: "connection closed" } as const;

describe("a viewer", () => {
  it("is asked about in the recorded order, with the recorded lines", async () => {
    bench.watchAll();
    const writer = bench.live();
    const connection = bench.connection();
    const admission = await bench.gate.play(bench.view("live", { connection, query: { tkn: "lifeA" } }));
    admission.count(709_883, 0);
    await bench.clock.advance(5_000);
    admission[Symbol.dispose]();
    connection.close();
    await bench.clock.advance(17_000);
    await writer.close(left);
    const url = "http://127.0.0.1:8080/live.flv?tkn=lifeA";
    const id = "e2d99ec5349e6db7177434677bb02631454add7f8ab4c4ee37bf076bb9198f53";
    expect(bench.fired).toEqual([
      "CONN_OPEN|live|127.0.0.1|FLV|",
      `PLAY_REWRITE|live|127.0.0.1|FLV|${url}`,
      `USER_NEW|live|127.0.0.1|lifeA|FLV|${url}|${id}|false`,
      `CONN_PLAY|live|127.0.0.1|FLV|${url}`,
      `CONN_CLOSE|live|127.0.0.1|FLV|${url}`,
      `USER_END|lifeA|live|FLV|127.0.0.1|6|709883|0||6|6|6|${id}`,
      "STREAM_UNLOAD|live|Buffer|uncancelablesource disconnected for non-resumable stream",
      "STREAM_END|live|0|709883|1|0|0|6",
    ]);
  });

  it("gets nothing before the answer, however long it takes", async () => {
    bench.live();
    const gate = Promise.withResolvers<Verdict>();
    bench.on("USER_NEW", () => gate.promise);
    let admitted = false;
    const play = bench.gate.play(bench.view("live")).then((admission) => {
      admitted = true;
      return admission;
    });
    await bench.clock.advance(2_000);
    expect(admitted).toBe(false);
    gate.resolve(allow());
    expect((await play).value.name).toBe("live");
  });

  it("is refused with the handler's reason, and not asked about again", async () => {
    bench.live();
    bench.on("USER_NEW", deny("please subscribe first"));
    for (let at = 0; at < 3; at++)
      await expect(bench.gate.play(bench.view("live", { query: { tkn: "a" } }))).rejects.toMatchObject({
        code: "access.denied",
        status: 403,
        message: "please subscribe first",
      });
    expect(bench.of("USER_NEW")).toHaveLength(1);
    await bench.close();
    expect(bench.of("USER_END")).toEqual([]);
  });

  it("cannot escape USER_NEW through stream information", async () => {
    bench.live();
    bench.on("USER_NEW", deny("no"));
    const info = bench.view("live", { protocol: "HTTP", infoOnly: true, query: { tkn: "a" } });
    await expect(bench.gate.play(info)).rejects.toMatchObject({ code: "access.denied" });
    await expect(bench.gate.play(bench.view("live", { query: { tkn: "a" } }))).rejects.toMatchObject({ code: "access.denied" });
    expect(bench.of("USER_NEW")).toHaveLength(1);
  });

  it.each([
    [1, "", 1],
    [2, "O", 0],
    [3, undefined, 0],
    [4, "U", 0],
  ])("asks for stream information in mode %i a session %j, with %i questions", async (mode, prefix, questions) => {
    bench.settings.sessions = { ...bench.settings.sessions, sessionStreamInfoMode: mode };
    bench.live();
    bench.on("USER_NEW", true);
    bench.on("CONN_PLAY", false);
    const admission = await bench.gate.play(bench.view("live", { protocol: "HTTP", infoOnly: true }));
    expect(admission.sessionId).toMatch(prefix === undefined ? /^$/ : new RegExp(`^${prefix}[0-9a-f]{64}$`));
    expect(bench.of("USER_NEW")).toHaveLength(questions);
  });

  it("carries its generated token on, so that a player page is no second viewer", async () => {
    bench.live();
    bench.on("USER_NEW", true);
    const page = await bench.gate.play(bench.view("live", { protocol: "HTTP", infoOnly: true }));
    expect(page.cookie).toBe(`tkn=${page.token}; Max-Age=600; Path=/; HttpOnly; SameSite=Lax`);
    const media = await bench.gate.play(bench.view("live", { query: { tkn: page.urlToken ?? "" } }));
    const byCookie = await bench.gate.play(bench.view("live", { protocol: "HLS", cookies: { tkn: page.token } }));
    expect(new Set([page.sessionId, media.sessionId, byCookie.sessionId]).size).toBe(1);
    expect(bench.of("USER_NEW")).toHaveLength(1);
  });

  it("is limited by the token that it brought, else by its address", async () => {
    bench.live();
    bench.on("USER_NEW", allow({ limits: { sessions: 1 } }));
    const play = (fields: Parameters<GateBench["view"]>[1]) => bench.gate.play(bench.view("live", fields));
    await play({ query: { tkn: "a" } });
    await play({});
    await expect(play({})).rejects.toMatchObject({ status: 403, message: "1 viewer at most for this address; close another one first" });
    await expect(play({ protocol: "RTMP", carriesToken: false })).rejects.toThrow("for this address");
    await play({ query: { tkn: "b" } });
    const elsewhere = play({ query: { tkn: "b" }, address: "192.0.2.7" });
    await expect(elsewhere).rejects.toThrow("1 viewer at most for this token; close another one first");
    await play({ address: "192.0.2.7" });
  });

  it("is one viewer over RTMP and HTTP with the same token; without a token each connection is its own", async () => {
    bench.live();
    bench.on("USER_NEW", true);
    const rtmp = { protocol: "RTMP", carriesToken: false, address: "::ffff:127.0.0.1" };
    const first = await bench.gate.play(bench.view("live", { ...rtmp, query: { tkn: "a" } }));
    const second = await bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    expect(first.sessionId).toBe(second.sessionId);
    expect([first.cookie, first.urlToken]).toEqual([undefined, undefined]);
    const connection = bench.connection();
    const alone = await bench.gate.play(bench.view("live", { ...rtmp, connection }));
    const again = await bench.gate.play(bench.view("live", { ...rtmp, connection }));
    const other = await bench.gate.play(bench.view("live", rtmp));
    expect(alone.sessionId).toBe(again.sessionId);
    expect(alone.sessionId).not.toBe(other.sessionId);
    expect(bench.of("USER_NEW")).toHaveLength(3);
  });

  it("asks once when 200 requests of one viewer come at the same time", async () => {
    bench.live("hidden");
    for (const name of ["PLAY_REWRITE", "DEFAULT_STREAM"] as const) bench.on(name, "hidden");
    bench.on("USER_NEW", true);
    const connection = bench.connection();
    const request = (): Promise<unknown> =>
      bench.gate
        .play(bench.view("token", { protocol: "HLS", connection, query: { tkn: "a" } }))
        .then((admission) => admission[Symbol.dispose]());
    await Promise.all(Array.from({ length: 200 }, request));
    expect([bench.of("PLAY_REWRITE"), bench.of("USER_NEW")].map((calls) => calls.length)).toEqual([1, 1]);
    await Promise.all(Array.from({ length: 200 }, (_, at) => bench.gate.play(bench.view("token", { query: { tkn: `b${at}` } }))));
    expect(bench.of("USER_NEW")).toHaveLength(201);
  });

  it("is asked about the final stream with its own URL, and sees only the name it asked for", async () => {
    bench.live("hidden");
    bench.on("PLAY_REWRITE", ({ stream }) => (stream === "alias" ? "hidden" : deny("unknown")));
    const seen: unknown[] = [];
    bench.on("USER_NEW", ({ stream, url, asked, recheck }) => {
      seen.push({ stream, url, asked, recheck });
      return true;
    });
    const admission = await bench.gate.play(bench.view("Ali/as"));
    expect(seen).toEqual([{ stream: "hidden", url: "http://127.0.0.1:8080/Ali/as.flv", asked: "alias", recheck: false }]);
    expect([admission.askedName, admission.value.name, admission.redirected]).toEqual(["alias", "hidden", false]);
    await expect(bench.gate.play(bench.view("hidden"))).rejects.toMatchObject({ code: "access.denied", message: "unknown" });
  });

  it("is refused by an empty PLAY_REWRITE, by CONN_OPEN and by CONN_PLAY, each asked once for a connection", async () => {
    bench.live();
    bench.live("other");
    const no = { code: "access.denied" };
    bench.on("PLAY_REWRITE", ({ query }) => (query["case"] === "rewrite" ? "" : { kind: "keep" }));
    bench.on("CONN_OPEN", ({ query }) => query["case"] !== "open");
    bench.on("CONN_PLAY", ({ query }) => query["case"] !== "play");
    bench.on("CONN_CLOSE", undefined);
    for (const name of ["rewrite", "open", "play"]) {
      const connection = bench.connection();
      const request = bench.view("live", { connection, query: { case: name, tkn: name } });
      for (let at = 0; at < 2; at++) await expect(bench.gate.play(request)).rejects.toMatchObject(no);
      connection.close();
    }
    await settle();
    expect([bench.of("CONN_OPEN"), bench.of("CONN_PLAY"), bench.of("CONN_CLOSE")].map((calls) => calls.length)).toEqual([3, 1, 2]);
    const connection = bench.connection();
    for (const stream of ["live", "live", "other", "other"]) await bench.gate.play(bench.view(stream, { connection, query: { tkn: "x" } }));
    expect([bench.of("CONN_OPEN"), bench.of("CONN_PLAY")].map((calls) => calls.length)).toEqual([4, 3]);
  });

  it("gets no other client's answer when a proxy sends both over one connection", async () => {
    bench.live();
    const connection = bench.connection();
    const ask = (client: string, token: string) =>
      bench.gate.play(bench.view("live", { connection, address: client, query: { tkn: token } })).then(
        () => "in",
        () => "out",
      );
    bench.on("CONN_OPEN", ({ host }) => host !== "203.0.113.9");
    bench.on("CONN_PLAY", ({ query }) => query["tkn"] !== "no");
    bench.on("CONN_CLOSE", undefined);
    expect([await ask("203.0.113.9", "yes"), await ask("203.0.113.1", "no"), await ask("203.0.113.1", "yes")]).toEqual([
      "out",
      "out",
      "in",
    ]);
    expect([await ask("203.0.113.9", "yes"), await ask("203.0.113.1", "no"), await ask("203.0.113.1", "yes")]).toEqual([
      "out",
      "out",
      "in",
    ]);
    expect([bench.of("CONN_OPEN"), bench.of("CONN_PLAY")].map((calls) => calls.length)).toEqual([2, 2]);
    connection.close();
    await settle();
    expect(bench.of("CONN_CLOSE")).toHaveLength(1);
  });

  it("is cut off when its session is refused later, and told why", async () => {
    bench.live();
    let answer: Verdict = allow();
    bench.on("USER_NEW", () => answer);
    const stays = await bench.gate.play(bench.view("live", { address: "10.0.0.1" }));
    answer = deny("not any more");
    expect(await bench.sessions.invalidate(["live"])).toBe(1);
    expect(stays.signal.reason).toMatchObject({ code: "access.denied", message: "not any more" });
    expect(bench.of("USER_NEW").map((line) => line.split("|").length - 1)).toEqual([7, 6]);
  });

  it("leaves nothing open when its connection closes, even while it is decided about", async () => {
    bench.live();
    const gate = Promise.withResolvers<Verdict>();
    bench.on("USER_NEW", () => gate.promise);
    const connection = bench.connection();
    const play = bench.gate.play(bench.view("live", { connection }));
    await settle();
    connection.close();
    gate.resolve(allow());
    await expect(play).rejects.toMatchObject({ code: "access.ended" });
    const second = bench.connection();
    await bench.gate.play(bench.view("live", { connection: second }));
    second.close();
    await bench.clock.advance(17_000);
    expect(bench.sessions.list().every(({ state }) => state === "ended")).toBe(true);
  });

  it("gets its player's name as a tag after ten seconds", async () => {
    bench.live();
    const { sessionId } = await bench.gate.play(bench.view("live", { headers: { "user-agent": "VLC/3.0 [x]\n" } }));
    await bench.clock.advance(9_000);
    expect(bench.sessions.get(sessionId)?.tags).toEqual([]);
    await bench.clock.advance(2_000);
    expect(bench.sessions.get(sessionId)?.tags).toEqual(["UA:VLC/3.0 x"]);
  });
});

describe("an offline stream", () => {
  it("is looked for as recorded, then shown as something else", async () => {
    bench.watchAll();
    bench.triggers.on("DEFAULT_STREAM", () => "vod");
    const url = "http://127.0.0.1:8080/nosuch.flv?tkn=ds";
    const admission = await bench.gate.play(bench.view("nosuch", { query: { tkn: "ds" } }));
    expect([admission.value.name, admission.askedName, admission.redirected]).toEqual(["vod", "nosuch", true]);
    expect(bench.fired.map((line) => line.replace(/[0-9a-f]{64}/, "ID"))).toEqual([
      "CONN_OPEN|nosuch|127.0.0.1|FLV|",
      `PLAY_REWRITE|nosuch|127.0.0.1|FLV|${url}`,
      "STREAM_LOAD|nosuch",
      "STREAM_SOURCE|nosuch",
      `DEFAULT_STREAM||nosuch|127.0.0.1|FLV|${url}`,
      "STREAM_LOAD|vod",
      "STREAM_SOURCE|vod",
      "STREAM_READY|vod|MP4",
      `USER_NEW|vod|127.0.0.1|ds|FLV|${url}|ID|false`,
      `CONN_PLAY|vod|127.0.0.1|FLV|${url}`,
    ]);
  });

  it("follows fallback_stream from one to the next, and finds loops", async () => {
    bench.streams["a"] = { source: "push://", fallback_stream: "b+$stream" };
    bench.streams["b"] = { source: "push://", fallback_stream: "vod" };
    expect((await bench.gate.play(bench.view("a"))).value.name).toBe("vod");
    bench.streams["b"] = { source: "push://", fallback_stream: "A" };
    await expect(bench.gate.play(bench.view("a"))).rejects.toMatchObject({ code: "access.offline", status: 404 });
    bench.streams["a"] = { source: "push://", fallback_stream: "a" };
    await expect(bench.gate.play(bench.view("a"))).rejects.toMatchObject({ code: "access.offline" });
  });

  it.each([
    ["an empty answer", ""],
    ["its own name", "$stream"],
    ["the name of another offline stream", "live"],
  ])("stays offline with %s of DEFAULT_STREAM", async (_, to) => {
    bench.on("DEFAULT_STREAM", to);
    const error: Error = await bench.gate.play(bench.view("secret-token")).then(
      () => new Error("played"),
      (reason: Error) => reason,
    );
    expect(error).toMatchObject({ code: "access.offline" });
    expect(error.message).not.toContain("secret-token");
    expect(bench.of("DEFAULT_STREAM")).toHaveLength(1);
  });

  it("uses defaultStream without a handler, and a handler's own words as refusal", async () => {
    bench.settings.defaultStream = "$basename+x";
    bench.live("off+x");
    expect((await bench.gate.play(bench.view("off"))).value.name).toBe("off+x");
    bench.on("DEFAULT_STREAM", deny("this token is used up"));
    await expect(bench.gate.play(bench.view("off"))).rejects.toMatchObject({ code: "access.denied", message: "this token is used up" });
  });
});

describe("a route", () => {
  it("costs one DEFAULT_STREAM and one USER_NEW for hundreds of requests, on every protocol", async () => {
    bench.live("hidden");
    bench.on("DEFAULT_STREAM", "hidden");
    bench.on("USER_NEW", true);
    for (let at = 0; at < 300; at++) {
      const protocol = at % 10 ? "HLS" : "FLV";
      (await bench.gate.play(bench.view("t-1", { protocol, query: { tkn: "a" } })))[Symbol.dispose]();
      await bench.clock.advance(100);
    }
    expect([bench.of("DEFAULT_STREAM"), bench.of("USER_NEW")].map((calls) => calls.length)).toEqual([1, 1]);
    await bench.gate.play(bench.view("t-1", { query: { tkn: "b" } }));
    await bench.gate.play(bench.view("t-1", { query: { tkn: "a" }, address: "10.0.0.9" }));
    expect(bench.of("DEFAULT_STREAM")).toHaveLength(3);
  });

  it("is left for the live stream after stop_sessid, not before", async () => {
    bench.on("DEFAULT_STREAM", "vod");
    const request = { query: { tkn: "a" } };
    const first = await bench.gate.play(bench.view("live", request));
    bench.live();
    expect((await bench.gate.play(bench.view("live", request))).value.name).toBe("vod");
    expect(bench.sessions.stop((session) => session.id === first.sessionId, "the stream is back")).toBe(1);
    expect(first.signal.reason).toMatchObject({ code: "access.ended" });
    expect((await bench.gate.play(bench.view("live", request))).value.name).toBe("live");
  });

  it("is found anew when its stream has ended", async () => {
    const writer = bench.live();
    bench.on("DEFAULT_STREAM", "vod");
    const request = { query: { tkn: "a" } };
    await bench.gate.play(bench.view("live", request));
    await writer.close(left);
    expect((await bench.gate.play(bench.view("live", request))).value.name).toBe("vod");
  });
});

describe("a recorded input", () => {
  it("is started once for all who come at the same time, and ended when nobody has used it for its time", async () => {
    bench.streams["vod"] = { source: "/media/$basename/$wildcard.mp4", inputtimeout: 20 };
    bench.on("STREAM_LOAD", true);
    bench.on("STREAM_UNLOAD", () => bench.of("STREAM_UNLOAD").length > 1);
    const admissions = await Promise.all(
      Array.from({ length: 20 }, (_, at) => bench.gate.play(bench.view("vod+a", { query: { tkn: `${at}` } }))),
    );
    expect([bench.opened, bench.of("STREAM_LOAD")]).toEqual([["/media/vod/a.mp4"], ["STREAM_LOAD|vod+a"]]);
    await bench.clock.advance(60_000);
    for (const admission of admissions) admission[Symbol.dispose]();
    await bench.clock.advance(19_000);
    expect(bench.of("STREAM_UNLOAD")).toEqual([]);
    await bench.clock.advance(2_000);
    expect(bench.of("STREAM_UNLOAD")).toEqual(["STREAM_UNLOAD|vod+a|MP4|cancelable"]);
    expect(bench.directory.get("vod+a")).toBeDefined();
    await bench.clock.advance(22_000);
    expect(bench.of("STREAM_UNLOAD")).toHaveLength(2);
    expect(bench.directory.get("vod+a")).toBeUndefined();
  });

  it("is offline after a no of STREAM_LOAD or STREAM_READY, without a source, and when it cannot be opened", async () => {
    const source = emptyFile();
    bench.openFile = async () => source;
    bench.on("STREAM_LOAD", ({ stream }) => stream !== "vod+load");
    bench.on("STREAM_READY", ({ stream }) => stream !== "vod+ready");
    bench.on("STREAM_SOURCE", ({ stream }) => (stream === "vod+odd" ? "gopher://x" : { kind: "keep" }));
    const offline = { code: "access.offline" };
    for (const name of ["vod+load", "vod+ready", "vod+odd", "nosuch"])
      await expect(bench.gate.play(bench.view(name))).rejects.toMatchObject(offline);
    expect(source.closed).toBe(1);
    bench.openFile = () => Promise.reject(new Error("not an MP4 file"));
    await expect(bench.gate.play(bench.view("vod"))).rejects.toMatchObject(offline);
    expect(bench.logged.some((line) => line.includes("not an MP4 file"))).toBe(true);
  });

  it("plays names that are not configured when STREAM_SOURCE knows them, and lets no name climb out of its folder", async () => {
    bench.on("STREAM_SOURCE", ({ stream }) => (stream === "dyn" ? "/media/dyn.mp4" : { kind: "keep" }));
    expect((await bench.gate.play(bench.view("dyn"))).value.name).toBe("dyn");
    bench.streams["vod"] = { source: "/media/$wildcard.mp4" };
    await expect(bench.gate.play(bench.view("vod+../../etc/passwd"))).rejects.toMatchObject({ code: "access.offline" });
    expect(bench.opened).toEqual(["/media/dyn.mp4"]);
  });
});
