import { createHash } from "node:crypto";
import { Agent } from "node:http";
import { describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../../test/support/api-server.ts";
import { settle } from "../../../test/support/fake-clock.ts";
import { hashPassword } from "../../config/scrypt.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const json = { "Content-Type": "application/json" };
const from = (address: string) => ({ "X-Forwarded-For": address });
const far = from("203.0.113.9");
const basic = (pair: string, where = far) => ({ ...where, Authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
const bearer = (text: string, where = far) => ({ ...where, Authorization: `Bearer ${text}` });
const get = (path: string, headers: Readonly<Record<string, string>>) => ({ method: "GET", path: `/api/v1${path}`, headers });
const send = (method: string, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) => ({
  method,
  path: `/api/v1${path}`,
  headers: { ...json, ...headers },
  body: JSON.stringify(body),
});
const scrypt = await hashPassword("secret");
const account = { admin: { scrypt, scope: "admin" }, eye: { scrypt, scope: "read", md5: md5("secret") } };

/** MistServer's login, in one command. */
async function authorized(api: TestApi, username: string, password: string, command = {}, headers = far): Promise<Record<string, unknown>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post = (body: unknown) => api.ask({ path: "/api2", headers: { ...json, ...headers }, body: JSON.stringify(body) }, agent);
  const { challenge } = (await post({})).json["authorize"] as { challenge: string };
  const answer = await post({ authorize: { username, password: md5(md5(password) + challenge) }, ...command });
  agent.destroy();
  return answer.json;
}

describe("accounts", () => {
  it("log in by Basic with the scope that they have; a wrong password, an unknown name and a name without one do not", async () => {
    await using api = await startApi({ config: { account: { ...account, old: { password: md5("secret") } } } });
    const you = async (pair: string) => (await api.ask(get("/status", basic(pair)))).json["you"];
    expect(await you("admin:secret")).toEqual({ name: "admin", kind: "account", scope: "admin" });
    expect(await you("eye:secret")).toEqual({ name: "eye", kind: "account", scope: "read" });
    expect(await you("old:secret")).toEqual({ name: "old", kind: "account", scope: "admin" });
    for (const pair of ["admin:wrong", "nobody:secret", "constructor:secret", "admin"]) {
      expect(await api.ask(get("/status", basic(pair, from(`198.51.100.${pair.length}`)))), pair).toMatchObject({
        status: 401,
        json: { code: "api.credentials", detail: "The account's name or password is wrong" },
        headers: { "www-authenticate": expect.stringContaining("Bearer") },
      });
    }
    expect(JSON.stringify(api.lines)).not.toMatch(/secret|wrong"|nobody/);
  });

  it("are made, changed and removed over REST; the MD5 is kept only for those that ask for it", async () => {
    await using api = await startApi();
    const made = await api.ask(send("POST", "/accounts", { name: "site", password: "hunter2hunter2", scope: "operate" }));
    expect([made.status, made.json, made.headers["location"]]).toEqual([
      201,
      { name: "site", scope: "operate", mistCompatible: false },
      "/api/v1/accounts/site",
    ]);
    const stored = () => api.configuration.settings.account;
    expect(stored()["site"]).toEqual({ scrypt: expect.stringMatching(/^scrypt\$/), scope: "operate" });
    expect((await api.ask(send("POST", "/accounts", { name: "site", password: "hunter2hunter2" }))).json).toMatchObject({
      status: 409,
      code: "api.conflict",
    });
    await api.ask(send("POST", "/accounts", { name: "mist", password: "hunter2hunter2", mistCompatible: true }));
    expect(stored()["mist"]).toEqual({ scrypt: expect.any(String), scope: "admin", md5: md5("hunter2hunter2") });
    expect(await authorized(api, "mist", "hunter2hunter2")).toMatchObject({ authorize: { status: "OK" } });
    expect(await authorized(api, "site", "hunter2hunter2", {}, from("198.51.100.2"))).toMatchObject({ authorize: { status: "CHALL" } });

    const list = await api.ask({ method: "GET", path: "/api/v1/accounts" });
    expect(list.json["items"]).toEqual([
      { name: "mist", scope: "admin", mistCompatible: true },
      { name: "site", scope: "operate", mistCompatible: false },
    ]);
    expect(list.text).not.toMatch(/scrypt|md5|hunter2/);
    expect((await api.ask(send("PUT", "/accounts/mist", { scope: "read", mistCompatible: false }))).status).toBe(200);
    expect(stored()["mist"]).toEqual({ scrypt: expect.any(String), scope: "read" });
    expect((await api.ask(send("PUT", "/accounts/mist", { mistCompatible: true }))).json).toMatchObject({
      status: 400,
      error: expect.stringContaining("needs the password"),
    });
    const status = async (password: string) => (await api.ask(get("/status", basic(`mist:${password}`)))).status;
    expect(await status("hunter2hunter2")).toBe(200);
    await api.ask(send("PUT", "/accounts/mist", { password: "another password" }));
    expect([await status("hunter2hunter2"), await status("another password")]).toEqual([401, 200]);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/accounts/mist" })).status).toBe(204);
    expect([await status("another password"), Object.keys(stored())]).toEqual([401, ["site"]]);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/accounts/mist" })).json).toMatchObject({ status: 404, code: "api.unknown" });
    expect(JSON.stringify(api.lines)).not.toContain("hunter2");
  });

  it("of which one is taken away are out at once, on a connection that has logged in, too", async () => {
    await using api = await startApi({ config: { account: { ...account, mist: { password: md5("secret") } } }, streams: { live: {} } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const post = async (body: unknown) =>
      (await api.ask({ path: "/api2", headers: { ...json, ...far }, body: JSON.stringify(body) }, agent)).json;
    const { challenge } = (await post({}))["authorize"] as { challenge: string };
    await post({ authorize: { username: "mist", password: md5(md5("secret") + challenge) } });
    expect(await post({ active_streams: true })).toMatchObject({ active_streams: ["live"] });
    expect((await api.ask(get("/status", far), agent)).json["you"]).toEqual({ name: "mist", kind: "account", scope: "admin" });
    await api.ask({ method: "DELETE", path: "/api/v1/accounts/mist" });
    expect(await post({ active_streams: true })).toMatchObject({ authorize: { status: "CHALL" } });
    agent.destroy();
  });
});

describe("tokens", () => {
  it("are made, listed and revoked over REST, and their text is in one answer alone", async () => {
    await using api = await startApi();
    const made = await api.ask(send("POST", "/tokens", { name: "site", scope: "read", expiresIn: "1h" }));
    const { token, ...rest } = made.json as { token: string; id: string };
    expect(made.status).toBe(201);
    expect(rest).toEqual({
      id: expect.any(String),
      kind: "api",
      name: "site",
      scope: "read",
      createdAt: api.clock.now(),
      expiresAt: api.clock.now() + 3_600_000,
    });
    expect((await api.ask(get("/status", bearer(token)))).json["you"]).toEqual({ name: "site", kind: "token", scope: "read" });
    await settle();
    const list = await api.ask({ method: "GET", path: "/api/v1/tokens" });
    expect(list.json["items"]).toEqual([{ ...rest, lastUsedAt: api.clock.now() }]);
    expect(list.text + JSON.stringify(api.lines)).not.toContain(token.slice(7));
    expect((await api.ask({ method: "GET", path: `/api/v1/tokens/${rest.id}` })).json).toMatchObject({ name: "site" });
    await api.clock.advance(3_600_000);
    expect((await api.ask(get("/status", bearer(token)))).json).toMatchObject({ status: 401, code: "api.credentials" });
    expect((await api.ask({ method: "DELETE", path: `/api/v1/tokens/${rest.id}` })).status).toBe(204);
    expect((await api.ask({ method: "GET", path: `/api/v1/tokens/${rest.id}` })).status).toBe(404);
    for (const body of [
      { scope: "read" },
      { name: "x", scope: "all" },
      { name: "x", scope: "read", expiresIn: "soon" },
      { name: "x", scope: "read", expiresAt: 5 },
    ]) {
      expect((await api.ask(send("POST", "/tokens", body))).json, JSON.stringify(body)).toMatchObject({
        status: 400,
        code: "input.invalid",
      });
    }
    expect(
      (await api.ask(send("POST", "/tokens", { name: "x", scope: "read", expiresIn: "1h", expiresAt: 5e12 }))).json["detail"],
    ).toContain("not with both");
  });

  it("open MistServer's API as far as their scope goes; of what goes further nothing is done", async () => {
    await using api = await startApi({ streams: { live: {} } });
    const text = async (scope: "read" | "operate" | "admin") => (await api.parts.apiTokens.create({ name: scope, scope })).text;
    const [read, operate, admin] = [await text("read"), await text("operate"), await text("admin")];
    const ask = (token: string, command: unknown) =>
      api.ask({ path: "/api2", headers: { ...json, ...bearer(token) }, body: JSON.stringify(command) });
    expect((await ask(read, { active_streams: true, config: true, streams: 1, unknown: 1 })).json).toMatchObject({
      active_streams: ["live"],
    });
    expect(await ask(read, { active_streams: true, stop_tag: "x" })).toMatchObject({
      status: 403,
      json: { error: expect.stringContaining('stop_tag needs the scope "operate"') },
    });
    expect((await ask(operate, { stop_tag: "x" })).status).toBe(200);
    expect((await ask(read, { log: true })).json).not.toHaveProperty("log");
    expect((await ask(operate, { log: true })).json).toHaveProperty("log");
    expect((await ask(operate, { config: { serverid: "mine" }, addstream: { x: { source: "push://" } } })).status).toBe(403);
    expect([api.configuration.settings.serverid, api.configuration.settings.streams]).toEqual(["", {}]);
    expect((await ask(admin, { config: { serverid: "mine" } })).status).toBe(200);
    expect(api.configuration.settings.serverid).toBe("mine");
    expect(await ask("sluice_nothing", { active_streams: true })).toMatchObject({ status: 403, text: "Not authorized\n" });
  });

  it("may be JWTs with the permission `admin`", async () => {
    await using api = await startApi();
    const seen: unknown[] = [];
    Object.assign(api.parts.tokens, {
      verify: async (token: string, use: unknown) => {
        seen.push(use);
        return token === "a.b.c" ? { kind: "valid", claims: { sub: "ops" }, expiresAt: undefined } : { kind: "invalid", reason: "no" };
      },
    });
    expect((await api.ask(get("/status", bearer("a.b.c")))).json["you"]).toEqual({ name: "ops", kind: "token", scope: "admin" });
    expect(seen).toEqual([{ permission: "admin", stream: "", address: "203.0.113.9" }]);
    expect((await api.ask(get("/status", bearer("a.b.d")))).status).toBe(401);
  });
});

describe("programs on this machine", () => {
  it("need no password, but have the scope of what they show, and are refused when it is wrong", async () => {
    await using api = await startApi({ config: { account } });
    const { text } = await api.parts.apiTokens.create({ name: "t", scope: "read" });
    expect((await api.ask(get("/status", {}))).json["you"]).toEqual({ name: "local", kind: "local", scope: "admin" });
    expect((await api.ask(get("/status", bearer(text, {} as typeof far)))).json["you"]).toMatchObject({ scope: "read" });
    expect((await api.ask(get("/status", bearer("sluice_x", {} as typeof far)))).status).toBe(401);
    for (const header of ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
      expect((await api.ask(get("/status", { [header]: "127.0.0.1" }))).status, header).toBe(401);
  });

  it("need one when `apiLocalAccess` is off, which nobody can do who would be locked out", async () => {
    await using api = await startApi();
    const off = send("PATCH", "/config", { apiLocalAccess: false });
    expect((await api.ask(off)).json).toMatchObject({ status: 409, code: "api.conflict" });
    await api.ask(send("POST", "/accounts", { name: "admin", password: "long password" }));
    expect((await api.ask(off)).status).toBe(200);
    expect((await api.ask(get("/status", {}))).json).toMatchObject({ status: 401, code: "api.credentials" });
    expect(await api.call({ active_streams: true })).toMatchObject({ authorize: { status: "CHALL" } });
    const mine = basic("admin:long password", {} as typeof far);
    expect((await api.ask(get("/status", mine))).status).toBe(200);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/accounts/admin", headers: mine })).json).toMatchObject({
      status: 409,
      detail: expect.stringContaining("last account"),
    });
    expect((await api.ask(send("PUT", "/accounts/admin", { scope: "read" }, mine))).status).toBe(409);
  });

  it("cannot make the first account of MistServer's API either when it is off", async () => {
    await using api = await startApi({ config: { apiLocalAccess: false } });
    expect(await api.call({ authorize: { new_username: "a", new_password: "b" } })).toMatchObject({
      authorize: { status: "NOACC", error: expect.stringContaining("under `account`") },
    });
    expect(api.configuration.settings.account).toEqual({});
  });

  it("do not lend a password that a browser knows to the page of another site", async () => {
    await using api = await startApi({ config: { account } });
    const page = { Origin: "https://attacker.example" };
    const drop = (headers: Readonly<Record<string, string>>) => ({ method: "POST", path: "/api/v1/outbox/retry", headers });
    expect((await api.ask(drop({ ...basic("admin:secret"), ...page }))).json).toMatchObject({ status: 403, code: "api.scope" });
    expect((await api.ask(drop({ ...basic("admin:secret"), "Sec-Fetch-Site": "cross-site" }))).status).toBe(403);
    expect((await api.ask(drop(basic("admin:secret")))).status).toBe(200);
    const { text } = await api.parts.apiTokens.create({ name: "t", scope: "operate" });
    expect((await api.ask(drop({ ...bearer(text), ...page }))).status).toBe(200);
  });
});

describe("guessing", () => {
  it("by Basic, by token and by `authorize` is slowed down together, for the network alone", async () => {
    await using api = await startApi({ config: { account } });
    await api.ask(get("/status", basic("admin:1")));
    await api.ask(get("/status", basic("root:2")));
    await api.ask(get("/status", bearer("sluice_3")));
    await authorized(api, "eye", "4");
    await api.ask({ path: "/api2", headers: bearer("sluice_5") });
    const { text } = await api.parts.apiTokens.create({ name: "t", scope: "read" });
    for (const headers of [basic("admin:secret"), bearer(text)]) {
      expect(await api.ask(get("/status", headers))).toMatchObject({
        status: 429,
        headers: { "retry-after": "1" },
        json: { code: "api.attempts", retryAfter: 1 },
      });
    }
    expect(await authorized(api, "eye", "secret")).toMatchObject({
      authorize: { status: "CHALL", error: expect.stringContaining("1 seconds") },
    });
    expect((await api.ask(get("/status", basic("admin:secret", from("198.51.100.1"))))).status).toBe(200);
    await api.clock.advance(1000);
    expect((await api.ask(get("/status", basic("admin:secret")))).status).toBe(200);
  });

  it("is not helped by asking all at once, nor by a right login with another name in between", async () => {
    await using api = await startApi({ config: { account } });
    const own = new Agent({ maxSockets: 50 });
    const many = await Promise.all(Array.from({ length: 30 }, (_, guess) => api.ask(get("/status", basic(`admin:${guess}`)), own)));
    own.destroy();
    expect(many.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(5);
    const other = from("198.51.100.7");
    for (let guess = 0; guess < 5; guess++) {
      expect((await api.ask(get("/status", basic(`admin:guess ${guess}`, other)))).status).toBe(401);
      await api.ask(get("/status", basic("eye:secret", other)));
      if (guess < 4) expect((await api.ask(get("/status", basic("eye:secret", other)))).status).toBe(200);
    }
    expect((await api.ask(get("/status", basic("admin:secret", other)))).status).toBe(429);
  });
});
