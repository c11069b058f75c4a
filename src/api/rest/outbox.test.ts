import { describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { startApi, type TestApi } from "../../../test/support/api-server.ts";

/** A server whose handler takes nothing, with two dead notifications of which the second stands for `live`. */
async function withDead(): Promise<TestApi & { take: boolean }> {
  const api = Object.assign(await startApi(), { take: false });
  api.outbox.deliverBy(async () => {
    if (!api.take) throw new Error("it answered with status 500");
  });
  for (const stream of ["old", "live"]) {
    const payload = JSON.stringify({ stream, token: "secret" });
    const handler = "http://user:pass@example.com/hook?key=secret";
    await api.outbox.send({
      trigger: "STREAM_END",
      handler,
      orderKey: `stream:${stream}`,
      payload,
      uuid: `u-${stream}`,
      createdAt: api.clock.now(),
    });
  }
  await settle();
  return api;
}

const get = (path: string) => ({ method: "GET", path: `/api/v1${path}` });

describe("/api/v1/outbox", () => {
  it("lists what has not arrived, without secrets", async () => {
    await using api = await withDead();
    const { json, text } = await api.ask(get("/outbox?state=dead&limit=1"));
    expect(json).toMatchObject({
      letters: [
        {
          id: 1,
          trigger: "STREAM_END",
          handler: "http://example.com/hook",
          orderKey: "stream:old",
          uuid: "u-old",
          state: "dead",
          attempts: 1,
        },
      ],
      stats: { waiting: 0, delivered: 0, failed: 2, refused: 0 },
    });
    expect(text).not.toMatch(/secret|pass/);
    expect((await api.ask(get("/outbox?after=1"))).json).toMatchObject({ letters: [{ id: 2, error: "it answered with status 500" }] });
    expect((await api.ask(get("/outbox?state=waiting"))).json).toMatchObject({ letters: [] });
  });

  it("tries one again, or all dead ones, and throws one away", async () => {
    await using api = await withDead();
    expect(await api.ask({ method: "DELETE", path: "/api/v1/outbox/1" })).toMatchObject({ status: 200, json: { dropped: 1 } });
    expect(await api.ask({ method: "DELETE", path: "/api/v1/outbox/1" })).toMatchObject({ status: 404 });
    expect(await api.ask({ method: "POST", path: "/api/v1/outbox/2/retry", body: "" })).toMatchObject({
      status: 200,
      json: { retried: 1 },
    });
    await settle();
    expect((await api.outbox.list({ limit: 9 })).map(({ id, state }) => [id, state])).toEqual([[2, "dead"]]);
    api.take = true;
    expect((await api.ask({ method: "POST", path: "/api/v1/outbox/retry", body: "" })).json).toEqual({ retried: 1 });
    await settle();
    expect(await api.outbox.list({ limit: 9 })).toEqual([]);
    expect((await api.ask({ method: "POST", path: "/api/v1/outbox/2/retry", body: "" })).status).toBe(404);
  });

  it("says what is wrong with a question", async () => {
    await using api = await withDead();
    expect(await api.ask(get("/outbox?state=lost"))).toMatchObject({ status: 400, json: { error: "state must be waiting or dead" } });
    expect((await api.ask(get("/outbox?limit=0"))).json).toMatchObject({ error: "limit must be 1 to 1000" });
    expect((await api.ask({ method: "POST", path: "/api/v1/outbox/x/retry", body: "" })).status).toBe(400);
  });
});
