import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, it } from "vitest";
import { clientProgram, clientTypes } from "../support/rest-client.ts";
import { startEncoder } from "../support/encoder.ts";
import { startSluice } from "../support/sluice.ts";

/** Uses the API as its document says, with a token of its own; prints what it saw. */
const main = `
import createClient from "openapi-fetch";
import type { components, paths } from "./api.ts";

const { API = "", TOKEN = "" } = process.env;
const api = createClient<paths>({ baseUrl: API + "/api/v1", headers: { authorization: "Bearer " + TOKEN } });
type Session = components["schemas"]["Session"];
type Problem = components["schemas"]["Problem"];

/** The answer of a call that has to succeed. */
function good<T>(answer: { data?: T; error?: Problem; response: Response }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "status " + answer.response.status);
  return answer.data;
}

const status = good(await api.GET("/status"));
const put = await api.PUT("/streams/{name}", { params: { path: { name: "extra" } }, body: { source: "push://", tags: ["made"] } });
const made: string[] = good(put).tags;
const read = await api.GET("/streams/{name}", { params: { path: { name: "extra" } } });
const tag = read.response.headers.get("etag") ?? "";
const known = await api.GET("/streams/{name}", { params: { path: { name: "extra" }, header: { "if-none-match": tag } } });
const late = await api.DELETE("/streams/{name}", { params: { path: { name: "extra" }, header: { "if-match": '"old.old"' } } });
const gone = await api.DELETE("/streams/{name}", { params: { path: { name: "extra" }, header: { "if-match": tag } } });
const sessions: Session[] = [];
for (let cursor: string | undefined; ; ) {
  const page = good(await api.GET("/sessions", { params: { query: { limit: 1, type: "input", cursor } } }));
  sessions.push(...page.items);
  cursor = page.next;
  if (cursor === undefined) break;
}
const live = good(await api.GET("/streams", { params: { query: { live: "true" } } })).items;
const wrong = await api.POST("/sessions/stop", { body: {} });
const stopped = good(await api.POST("/sessions/stop", { body: { ids: sessions.map(({ id }) => id), reason: "enough" } }));
const config = good(await api.PATCH("/config", { body: { latency: "low" } }));
const token = good(await api.POST("/tokens", { body: { name: "small", scope: "read", kind: "api" } }));
const small = createClient<paths>({ baseUrl: API + "/api/v1", headers: { authorization: "Bearer " + token.token } });
const refused = await small.POST("/sessions/invalidate", { body: { streams: ["live"] } });
const revoked = await api.DELETE("/tokens/{id}", { params: { path: { id: token.id } } });
const after = await small.GET("/status");

console.log(JSON.stringify({
  you: status.you, made, known: known.response.status, late: late.error?.code, gone: gone.response.status,
  sessions: sessions.map(({ stream, protocol }) => [stream, protocol]), live: live.map(({ name, tracks }) => [name, tracks.map(({ codec }) => codec)]),
  wrong: wrong.error?.errors, stopped, latency: config.latency, refused: refused.error?.code, revoked: revoked.response.status, after: after.error?.code,
}));
`;

it("a client that is generated from the server's OpenAPI document fits by its types, and works", async () => {
  await using sluice = await startSluice({ config: { streams: { live: { source: "push://" } } } });
  const home = `http://127.0.0.1:${sluice.ports.api}`;
  const document = (await (await fetch(`${home}/api/v1/openapi.json`)).json()) as Record<string, unknown>;
  expect(await new Validator().validate(structuredClone(document))).toMatchObject({ valid: true });

  const types = await clientTypes(document);
  using program = clientProgram({ "api.ts": types, "main.ts": main });
  expect(await program.check()).toBe("");
  // The check is one: what the document does not say does not compile.
  for (const [right, wrong, words] of [
    ['{ latency: "low" }', '{ latency: "lowest" }', "lowest"],
    ['"/sessions/stop"', '"/sessions/halt"', "halt"],
    ["status.you", "status.me", "'me'"],
  ] as const) {
    using other = clientProgram({ "api.ts": types, "main.ts": main.replace(right, wrong) });
    expect(await other.check()).toContain(words);
  }

  const made = await fetch(`${home}/api/v1/tokens`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: "client", scope: "admin", expiresIn: "10m" }),
  });
  const { token } = (await made.json()) as { token: string };
  await using encoder = startEncoder(sluice.rtmp("live/live"));
  await expect
    .poll(async () => ((await (await fetch(`${home}/api/v1/streams?live=true`)).json()) as { items: unknown[] }).items.length, {
      timeout: 20_000,
    })
    .toBe(1);
  expect(JSON.parse(await program.run({ API: home, TOKEN: token }))).toEqual({
    you: { name: "client", kind: "token", scope: "admin" },
    made: ["made"],
    known: 304,
    late: "api.changed",
    gone: 204,
    sessions: [["live", "INPUT:RTMP"]],
    live: [["live", expect.arrayContaining(["h264"])]],
    wrong: [{ in: "body", path: "", message: expect.stringContaining("at least one of") }],
    stopped: { sessions: 1 },
    latency: "low",
    refused: "api.scope",
    revoked: 204,
    after: "api.credentials",
  });
  expect(encoder).toBeDefined();
});
