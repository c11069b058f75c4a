import { describe, expect, it } from "vitest";
import { join, memoryStore, startApi, type TestApi } from "../../../test/support/api-server.ts";

const get = (path: string) => ({ method: "GET", path: `/api/v1${path}` });
const put = (name: string, body: unknown, headers: Readonly<Record<string, string>> = {}) => ({
  method: "PUT",
  path: `/api/v1/limits/${name}`,
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});
const rule = { by: "stream", sessions: 1, reason: "full house" } as const;
const refused = (api: TestApi, stream: string, token: string): Promise<string> =>
  join(api.sessions, { stream, token }).then(
    () => "in",
    (error: unknown) => (error as Error).message,
  );

describe("/api/v1/limits", () => {
  it("lists rules with what is used and who was refused, fullest first; tokens only as hashes", async () => {
    const limits = { each: { by: "stream", sessions: 2 }, tokens: { by: "token", sessions: 5 } };
    await using api = await startApi({ config: { limits } });
    await join(api.sessions, { stream: "a", token: "secret" });
    await join(api.sessions, { stream: "b", token: "t2" });
    await join(api.sessions, { stream: "b", token: "t3" });
    expect(await refused(api, "b", "t4")).toContain("limit each");
    const { json, text } = await api.ask(get("/limits"));
    const [each, tokens] = json["items"] as { counters: unknown[] }[];
    expect(each).toEqual({
      name: "each",
      rule: limits.each,
      refused: 1,
      counters: [
        { key: "b", measure: "sessions", used: 2, most: 2, closed: true, refused: 1 },
        { key: "a", measure: "sessions", used: 1, most: 2, closed: false, refused: 0 },
      ],
    });
    expect([tokens?.counters.length, text.includes("secret")]).toEqual([3, false]);
    const names = async (query: string): Promise<unknown> =>
      ((await api.ask(get(`/limits?${query}`))).json["items"] as { name: string }[]).map(({ name }) => name);
    expect([await names("name=tokens"), await names("closed=true"), await names("name=none")]).toEqual([["tokens"], ["each"], []]);
  });

  it("declares, changes and takes away, at once and over a restart", async () => {
    const store = memoryStore();
    await using api = await startApi({ store });
    await join(api.sessions, { stream: "live", token: "a" });
    const made = await api.ask(put("hall.1", rule));
    expect([made.status, made.json["counters"]]).toEqual([
      201,
      [{ key: "live", measure: "sessions", used: 1, most: 1, closed: true, refused: 0 }],
    ]);
    expect(await refused(api, "live", "b")).toBe("full house");
    expect((await api.ask(put("hall.1", { ...rule, sessions: 2 }))).status).toBe(200);
    expect(await refused(api, "live", "b")).toBe("in");
    expect((await api.ask(get("/limits/hall.1"))).json).toMatchObject({ name: "hall.1", rule: { ...rule, sessions: 2 }, refused: 1 });
    await using later = await startApi({ store });
    expect(later.configuration.settings.limits).toEqual({ "hall.1": { ...rule, sessions: 2 } });
    expect((await later.ask({ method: "DELETE", path: "/api/v1/limits/hall.1" })).status).toBe(204);
    expect((await later.ask({ method: "DELETE", path: "/api/v1/limits/hall.1" })).status).toBe(404);
    expect((await later.ask(get("/limits/hall.1"))).status).toBe(404);
    expect(later.configuration.settings.limits).toEqual({});
  });

  it("says what is wrong with a rule, a name or a query", async () => {
    await using api = await startApi();
    const wrong = await api.ask(put("one", { by: "user", egress: 5 }));
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("stream or server")]);
    for (const body of [{}, 5, { by: "user", sessions: -1 }, { by: "user", sessions: 1, more: 1 }])
      expect((await api.ask(put("one", body))).status).toBe(400);
    expect((await api.ask(put("-one", rule))).status).toBe(400);
    expect((await api.ask(put("__proto__", rule))).status).toBe(400);
    expect((await api.ask(get("/limits/constructor"))).status).toBe(404);
    expect((await api.ask(get("/limits?closed=yes"))).status).toBe(400);
    expect(api.configuration.settings.limits).toEqual({});
  });

  it("is guarded by If-Match, which viewers do not change", async () => {
    await using api = await startApi({ config: { limits: { one: { by: "stream", sessions: 9 } } } });
    const tag = String((await api.ask(get("/limits/one"))).headers["etag"]);
    await join(api.sessions, { stream: "live" });
    expect((await api.ask(put("one", rule, { "If-Match": tag }))).status).toBe(200);
    expect((await api.ask(put("one", { ...rule, sessions: 3 }, { "If-Match": tag }))).status).toBe(412);
    expect(api.configuration.settings.limits["one"]?.sessions).toBe(1);
  });
});
