import { createHash } from "node:crypto";
import { request } from "node:http";
import { describe, expect, it } from "vitest";
import { memoryStore, startApi } from "../../../test/support/api-server.ts";
import { viewer } from "../../../test/support/trigger-bus.ts";
import { allow, deny } from "../../base/decision.ts";
import type { CallRecord } from "../../triggers/journal/call-record.ts";

const json = { "Content-Type": "application/json" };
const post = (path: string, body: unknown) => ({ path: `/api/v1/triggers${path}`, headers: json, body: JSON.stringify(body) });
const read = (path: string) => ({ method: "GET", path: `/api/v1/triggers${path}` });
const entry = { handler: "http://127.0.0.1:9/hook?key=secret", sync: true, streams: ["live"], default: "true" };

describe("/api/v1/triggers", () => {
  it("adds and removes handlers one by one beside config.triggers, and both views agree, after a restart too", async () => {
    const store = memoryStore();
    const ids: string[] = [];
    {
      await using api = await startApi({ store });
      await api.call({ config: { triggers: { USER_NEW: [["/bin/first", true, []]] } } });
      const added = await api.ask(post("/handlers", { trigger: "USER_NEW", entry }));
      expect([added.status, added.headers["location"]]).toEqual([201, `/api/v1/triggers/handlers/${added.json["id"]}`]);
      ids.push(String(added.json["id"]));
      expect((await api.call({ config: {} }))["config"]).toMatchObject({ triggers: { USER_NEW: [["/bin/first", true, []], entry] } });
    }
    await using api = await startApi({ store });
    const list = (await api.ask(read(""))).json["handlers"] as { id: string; handler: string }[];
    expect(list).toMatchObject([
      { trigger: "USER_NEW", handler: "/bin/first", source: "entry" },
      { id: ids[0], handler: "http://127.0.0.1:9/hook", sync: true, streams: ["live"], mode: "live" },
    ]);
    expect((await api.ask(read(`/handlers/${ids[0]}`))).json).toMatchObject({ id: ids[0], trigger: "USER_NEW" });
    expect((await api.ask({ method: "DELETE", path: `/api/v1/triggers/handlers/${list[0]?.id}` })).status).toBe(204);
    expect((await api.call({ config: {} }))["config"]).toMatchObject({ triggers: { USER_NEW: [entry] } });
    await api.call({ config: { triggers: null } });
    expect((await api.ask(read(""))).json["handlers"]).toEqual([]);
    const gone = await api.ask({ method: "DELETE", path: `/api/v1/triggers/handlers/${ids[0]}` });
    expect([gone.status, gone.json["error"]]).toEqual([404, `There is no handler ${ids[0]}; GET /api/v1/triggers lists them`]);
  });

  it("does not remove functions, and refuses entries that cannot work, naming the field", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", () => true);
    const kept = await api.ask({ method: "DELETE", path: "/api/v1/triggers/handlers/function-1" });
    expect([kept.status, kept.json["error"]]).toEqual([409, expect.stringContaining("function-1 is a function")]);
    for (const [body, words] of [
      [{ trigger: "USER_NEU", entry }, "trigger must be one of"],
      [{ trigger: "USER_NEW", entry: { handler: "" } }, "entry.USER_NEW[0].handler"],
      [{ trigger: "USER_NEW", entry, more: 1 }, "more: there is no such field"],
    ] as const) {
      const answer = await api.ask(post("/handlers", body));
      expect(answer.status).toBe(400);
      expect(answer.json["error"]).toContain(words);
    }
    expect((await api.ask({ ...post("/handlers", {}), headers: { "Content-Type": "text/plain" } })).status).toBe(400);
    expect((await api.ask({ method: "PUT", path: "/api/v1/triggers" })).status).toBe(404);
  });

  it("shows recorded calls, filtered, and one by its id", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", ({ token }) => (token === "t1" ? allow() : deny("unknown token")));
    await api.triggers.fire("USER_NEW", viewer);
    await api.clock.advance(60_000);
    await api.triggers.fire("USER_NEW", { ...viewer, token: "t2" });
    const calls = async (query: string) => (await api.ask(read(`/calls${query}`))).json["calls"] as CallRecord[];
    expect((await calls("")).map(({ decision }) => decision?.kind)).toEqual(["deny", "allow"]);
    expect((await calls("?since=30s")).map(({ decision }) => decision?.kind)).toEqual(["deny"]);
    expect((await calls("?decision=deny&limit=5")).map(({ decision }) => decision)).toEqual([deny("unknown token")]);
    const [call] = await calls("?find=t2");
    expect(JSON.stringify(call)).not.toContain('"t2"');
    expect((await api.ask(read(`/calls/${call?.id}`))).json).toEqual(call);
    expect((await api.ask(read("/calls/none"))).status).toBe(404);
    expect((await api.ask(read("/calls?limit=many"))).status).toBe(400);
    expect((await api.ask(read("/calls?since=soon"))).json["error"]).toContain("since must be a date");
  });

  it("streams calls while they end", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", () => deny("no"));
    const answer = request({
      port: api.port,
      host: "127.0.0.1",
      path: "/api/v1/triggers/calls/stream?trigger=USER_NEW",
      agent: false,
    }).end();
    const text = await new Promise<string>((resolve, reject) => {
      let seen = "";
      answer.once("error", reject);
      answer.once("response", (response) => {
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          if (seen === "") void api.triggers.fire("USER_NEW", viewer).then(() => api.journal.flush());
          seen += chunk;
          if (/event: call\n/.test(seen) && seen.endsWith("\n\n")) resolve(seen);
        });
      });
    });
    answer.on("error", () => {});
    answer.destroy();
    const record = JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? "") as CallRecord;
    expect(record).toMatchObject({ trigger: "USER_NEW", decision: deny("no") });
    expect(text).toContain(`id: ${record.id}`);
  });

  it("says what would happen, for fields and for MistServer's lines, and does nothing", async () => {
    await using api = await startApi();
    const asked: unknown[] = [];
    api.triggers.on(
      "PUSH_REWRITE",
      ({ stream, query, host }, { mode }) => (asked.push([stream, query, host, mode]), stream === "key" ? "live" : ""),
    );
    const good = await api.ask(post("/test", { trigger: "PUSH_REWRITE", payload: { stream: "key", url: "rtmp://x/live/key?a=1" } }));
    expect(good.json).toMatchObject({
      trigger: "PUSH_REWRITE",
      decision: { kind: "rewrite", to: "live" },
      handlers: [{ id: "function-1" }],
    });
    const lines = await api.ask(post("/test", { trigger: "PUSH_REWRITE", payload: "rtmp://x/live/wrong\n127.0.0.1\nwrong" }));
    expect(lines.json["decision"]).toMatchObject({ kind: "deny" });
    expect(asked).toEqual([
      ["key", { a: "1" }, "", "rehearsal"],
      ["wrong", {}, "127.0.0.1", "rehearsal"],
    ]);
    expect(api.triggers.stats()).toEqual({});
    const wrong = await api.ask(post("/test", { trigger: "PUSH_REWRITE", payload: { strem: "key" } }));
    expect([wrong.status, wrong.json["error"]]).toEqual([400, expect.stringContaining('PUSH_REWRITE has no field "strem"')]);
    expect((await api.ask(post("/test", { trigger: "STREAM_BUFFER", payload: { stream: 5 } }))).json["error"]).toContain("must be a text");
  });

  it("is closed to others without an account, and open with its name and password", async () => {
    const password = createHash("md5").update("secret").digest("hex");
    await using api = await startApi({ config: { account: { admin: { password } } } });
    const far = { "X-Forwarded-For": "203.0.113.9" };
    const basic = (pair: string) => ({ ...far, Authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
    const refused = await api.ask({ ...read(""), headers: far });
    expect([refused.status, refused.headers["www-authenticate"]]).toEqual([
      401,
      'Basic realm="Sluice", charset="UTF-8", Bearer realm="Sluice"',
    ]);
    expect((await api.ask({ ...read(""), headers: basic("admin:wrong") })).status).toBe(401);
    expect((await api.ask({ ...read(""), headers: basic("admin:secret") })).status).toBe(200);
    expect((await api.ask(read(""))).status).toBe(200);
    const preflight = await api.ask({ method: "OPTIONS", path: "/api/v1/triggers", headers: far });
    expect([preflight.status, preflight.headers["access-control-allow-methods"]]).toEqual([204, expect.stringContaining("DELETE")]);
  });
});
