import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { MistClient, type MistClientOptions } from "./client.ts";
import { areInstalled, installTriggers, receiverEntry, removeTriggers } from "./install.ts";

type Exchange = { readonly method: string; readonly body: string | null; readonly reply: Record<string, unknown> };
type Seen = { readonly body: Record<string, unknown>; readonly request: IncomingMessage };

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const recorded = (name: string): readonly Exchange[] =>
  (
    JSON.parse(readFileSync(new URL(`../../../test/fixtures/golden/api/${name}.json`, import.meta.url), "utf8")) as {
      exchanges: readonly Exchange[];
    }
  ).exchanges;

/** A server that answers as it is told to, and a client of it. */
async function serve(
  answer: (seen: Seen, response: ServerResponse) => unknown,
  options: Partial<MistClientOptions> = {},
): Promise<{ client: MistClient; seen: Seen[]; sockets: () => number; url: string }> {
  const seen: Seen[] = [];
  let sockets = 0;
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await text(request)) as Record<string, unknown>;
    seen.push({ body, request });
    const reply = await answer({ body, request }, response);
    if (reply !== undefined) response.writeHead(200, { "Content-Type": "text/javascript" }).end(`${JSON.stringify(reply)}\n\n`);
  });
  server.on("connection", () => sockets++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new MistClient({ url, ...options });
  open.push(async () => {
    await client[Symbol.asyncDispose]();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { client, seen, sockets: () => sockets, url };
}

/** Answers with what was recorded for exactly these commands. */
async function replayed(...names: readonly string[]) {
  const exchanges = names.flatMap(recorded).filter(({ method }) => method === "POST");
  return await serve(({ body }) => {
    const found = exchanges.find((one) => JSON.stringify(JSON.parse(one.body ?? "{}")) === JSON.stringify(body));
    if (!found) throw new Error(`nothing was recorded for ${JSON.stringify(body)}`);
    return found.reply;
  });
}

describe("recorded answers of a MistServer", () => {
  it("are read: sessions, streams, sums", async () => {
    const { client, sockets } = await replayed("clients", "active_streams", "totals");
    expect(await client.clients()).toEqual([]);
    expect(await client.activeStreams(["clients", "lastms"])).toEqual({
      live: { clients: 1, lastms: 23343 },
      "wild+one": { clients: 1, lastms: 13343 },
    });
    expect(await client.totals({ streams: ["live"], fields: ["upbps"], start: -5 })).toEqual({
      fields: ["upbps"],
      start: 1795362463,
      end: 1795362468,
      data: [[656246], [611540], [654488], [596907], [514107], [366884]],
    });
    const [, , , busy] = recorded("clients");
    const { clients } = await client.call(JSON.parse(busy?.body ?? "") as Record<string, unknown>);
    expect(clients).toMatchObject({ data: expect.arrayContaining([["live", "RTMP", 9, 1057725]]) });
    // All of that over one connection.
    expect(sockets()).toBe(1);
  });

  it("to commands say nothing, and that is enough", async () => {
    const { client, seen } = await replayed("stop_sessid", "invalidate_sessions");
    await client.stopSessid(["a", "b"]);
    await client.invalidateSessions(["live", "vod"]);
    await client.invalidateSessions("live");
    expect(seen.map(({ body }) => body)).toEqual([
      { stop_sessid: ["a", "b"] },
      { invalidate_sessions: ["live", "vod"] },
      { invalidate_sessions: "live" },
    ]);
    expect(seen.every(({ request }) => request.headers["content-type"] === "application/json")).toBe(true);
  });

  it("to a login: the hash that its challenge asks for, once for a connection, and again when the server forgets", async () => {
    const exchanges = recorded("authorize-challenge");
    const asks = exchanges.find(({ reply }) => (reply["authorize"] as { status?: string }).status === "CHALL")?.reply;
    const login = exchanges.find(({ body }) => body?.includes('"authorize"'));
    const md5 = (words: string): string => createHash("md5").update(words).digest("hex");
    const password = md5(md5("secret") + String((asks?.["authorize"] as { challenge?: string } | undefined)?.challenge));
    let loggedIn = false;
    const { client, seen } = await serve(
      ({ body }) => {
        if ((body["authorize"] as { password?: string } | undefined)?.password === password) loggedIn = true;
        if (!loggedIn) return asks;
        if (body["logout"] === true) loggedIn = false;
        return login?.reply;
      },
      { username: "admin", password: "secret" },
    );
    await client.call({ active_streams: true });
    await client.call({ active_streams: true });
    expect(seen.map(({ body }) => Object.keys(body))).toEqual([["active_streams"], ["active_streams", "authorize"], ["active_streams"]]);
    expect(await client.call({ logout: true })).toEqual(login?.reply);
    await client.call({ active_streams: true });
    expect(seen).toHaveLength(6);
  });

  it("to a wrong login say so, without the password", async () => {
    const { client, seen } = await serve(() => recorded("authorize-wrong")[0]?.reply, { username: "admin", password: "not this one" });
    const error = await client.call({ clients: {} }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "api.credentials", message: expect.stringContaining('does not take the login of "admin"') });
    expect(String(error)).not.toContain("not this one");
    expect(seen).toHaveLength(2);
    const { client: nobody } = await serve(() => recorded("authorize-wrong")[0]?.reply);
    await expect(nobody.call({})).rejects.toMatchObject({ code: "api.credentials", message: expect.stringContaining("asks for a login") });
  });
});

describe("a connection that fails", () => {
  it("is tried again, and the login with it", async () => {
    let calls = 0;
    const { client } = await serve(({ request }) => {
      if (++calls < 3) return void request.socket.destroy();
      return { authorize: { status: "OK" }, config: { triggers: null } };
    });
    expect(await client.triggers()).toEqual({});
    expect(calls).toBe(3);
  });

  it("is told after the last try, with what to look at", async () => {
    const { client } = await serve(({ request }) => void request.socket.destroy(), { attempts: 1 });
    await expect(client.config()).rejects.toMatchObject({
      code: "source.failed",
      message: expect.stringMatching(/cannot be reached.*is it running/),
    });
  });

  it("that gives no answer is not asked twice", async () => {
    const { client, seen } = await serve(() => undefined, { timeoutMs: 50 });
    await expect(client.config()).rejects.toThrow("gave no answer within 50 ms");
    expect(seen).toHaveLength(1);
  });

  it.each([
    ["<html>", 200],
    ["[]", 200],
    ["{}", 404],
  ])("to something else is told as that: %s with status %i", async (body, status) => {
    const { client } = await serve((_seen, response) => void response.writeHead(status).end(body));
    await expect(client.config()).rejects.toThrow(`does not answer as a MistServer's API does (status ${status})`);
  });

  it("cannot begin with an address that is none", () => {
    expect(() => new MistClient({ url: "localhost" })).toThrow("is no URL");
    expect(() => new MistClient({ url: "ftp://h" })).toThrow("is no URL");
    expect(() => new MistClient({ url: "http://admin:topsecret@h:4242" })).toThrow(/holds a login(?!.*topsecret)/);
  });
});

/** A MistServer's table of triggers. `write` may change what it keeps. */
async function withTable(
  table: Record<string, unknown[]>,
  write = (wanted: Record<string, unknown[]>): Record<string, unknown[]> => wanted,
) {
  let kept = table;
  const { client } = await serve(async ({ body }) => {
    const { triggers } = body["config"] as { triggers?: Record<string, unknown[]> };
    if (triggers) kept = write(triggers);
    return { authorize: { local: true, status: "OK" }, config: { version: "x", triggers: Object.keys(kept).length === 0 ? null : kept } };
  });
  return { client, table: () => kept };
}

describe("the table of triggers", () => {
  const others = {
    USER_NEW: [["http://other/t", true, ["a"]]],
    USER_END: [{ handler: "/usr/bin/x", sync: false, streams: [], "x-LSP-note": 1 }],
  };
  const url = "http://receiver:8090/?key=first";

  it("is written back with everything that others have in it", async () => {
    const { client, table } = await withTable(structuredClone(others));
    await Promise.all([
      client.addTrigger("USER_NEW", { handler: url, sync: true, streams: [] }),
      client.addTrigger("PUSH_REWRITE", { handler: url, sync: true }),
      client.addTrigger("USER_NEW", { handler: url.replace("first", "next"), sync: true, streams: [] }),
    ]);
    expect(table()).toEqual({
      USER_END: others.USER_END,
      USER_NEW: [...others.USER_NEW, { handler: url.replace("first", "next"), sync: true, streams: [] }],
      PUSH_REWRITE: [{ handler: url, sync: true }],
    });
    expect(await client.removeTrigger("USER_NEW", "http://receiver:8090/")).toBe(1);
    expect(await client.removeTrigger("USER_NEW", "http://receiver:8090/")).toBe(0);
    expect(table()["USER_NEW"]).toEqual(others.USER_NEW);
  });

  it("that was not written as it was given is told", async () => {
    const { client } = await withTable({}, (wanted) => ({
      ...wanted,
      USER_NEW: [{ handler: "http://receiver:8090/?ke", sync: true, streams: [] }],
    }));
    await expect(client.addTrigger("USER_NEW", { handler: url, sync: true })).rejects.toMatchObject({
      code: "api.conflict",
      message: expect.stringContaining("USER_NEW"),
    });
  });

  it("gets a receiver that says no when it is down, and loses it again", async () => {
    const { client, table } = await withTable(structuredClone(others));
    await installTriggers(client, ["USER_NEW", "PUSH_REWRITE", "USER_END", "STREAM_READY"], url);
    expect(await areInstalled(client, ["USER_NEW", "PUSH_REWRITE", "USER_END", "STREAM_READY"], url)).toBe(true);
    expect(await areInstalled(client, ["USER_NEW"], url)).toBe(false);
    expect(table()).toEqual({
      USER_NEW: [...others.USER_NEW, { handler: url, sync: true, streams: [], default: "false", onfail: "deny" }],
      USER_END: [...others.USER_END, { handler: url, sync: false, streams: [] }],
      PUSH_REWRITE: [{ handler: url, sync: true, streams: [], default: "receiver-is-down", onfail: "deny" }],
      STREAM_READY: [{ handler: url, sync: true, streams: [], default: "true" }],
    });
    const next = url.replace("first", "second");
    expect(await areInstalled(client, ["USER_NEW", "PUSH_REWRITE", "USER_END", "STREAM_READY"], next)).toBe(false);
    await installTriggers(client, ["USER_NEW"], next);
    expect(table()).toEqual({ ...others, USER_NEW: [...others.USER_NEW, { ...receiverEntry("USER_NEW", next) }] });
    await removeTriggers(client, url);
    expect(table()).toEqual(others);
  });

  it("takes no URL that a MistServer would cut", () => {
    expect(() => receiverEntry("USER_NEW", `http://receiver/${"x".repeat(120)}`)).toThrow("cuts it at 127");
  });
});
