import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { areInstalled, createMistControl, installTriggers, MistClient, removeTriggers } from "../../src/receiver/index.ts";
import type { RtmpClient } from "../support/rtmp-client.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { view } from "../support/viewer.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

describe("MistClient at a server that asks for a login", () => {
  let sluice: Sluice;
  let client: MistClient;
  let publisher: RtmpClient;
  const connect = (password: string): MistClient =>
    new MistClient({
      url: `http://127.0.0.1:${sluice.ports.api}`,
      username: "admin",
      password,
      // Behind a proxy nobody is on the server's own machine.
      headers: { "X-Forwarded-For": "203.0.113.7" },
    });

  beforeAll(async () => {
    sluice = await startSluice({
      config: { account: { admin: { password: md5("secret") } }, config: { accesslog: "LOG" }, streams: { live: { source: "push://" } } },
    });
    client = connect("secret");
    publisher = await publishSample(sluice.ports.rtmp, "live", 60);
  });
  afterAll(async () => {
    publisher?.socket.destroy();
    await client?.[Symbol.asyncDispose]();
    await sluice?.[Symbol.asyncDispose]();
  });

  it("logs in, reads the configuration, and says when the login is wrong", async () => {
    expect(await client.config()).toMatchObject({ accesslog: "LOG" });
    await using stranger = connect("wrong");
    await expect(stranger.config()).rejects.toMatchObject({ code: "api.credentials" });
  });

  it("knows who watches and pushes, asks again, and ends a session", async () => {
    await expect.poll(async () => (await client.activeStreams(["status"]))["live"], { timeout: 20_000 }).toEqual({ status: "Online" });
    using viewer = await view(sluice.http("live.flv?tkn=one"));
    await viewer.atLeast(1000);
    await expect
      .poll(async () => (await client.clients()).map(({ stream, protocol }) => `${stream} ${protocol}`).toSorted())
      .toEqual(["live FLV", "live INPUT:RTMP"]);
    const totals = await client.totals({ streams: ["live"], fields: ["clients"], start: -5 });
    expect(totals).toMatchObject({ fields: ["clients"], start: expect.any(Number) });
    using control = createMistControl({ client });
    await control.look();
    expect([control.liveStreams(), control.publishing("live"), control.viewers("live").length]).toEqual([["live"], true, 1]);
    expect(await control.invalidateSessions("live")).toBe(1);
    expect(control.stopSessions(control.viewers("live").map(({ sessionId }) => sessionId))).toBe(1);
    await viewer.closed;
  });

  it("puts triggers in and takes them out, beside those of others", async () => {
    const other = { handler: "/usr/bin/true", sync: false, streams: ["other"] };
    await client.addTrigger("STREAM_END", other);
    await installTriggers(client, ["USER_END", "STREAM_END"], "http://127.0.0.1:9/?key=one");
    expect(await areInstalled(client, ["USER_END", "STREAM_END"], "http://127.0.0.1:9/?key=one")).toBe(true);
    expect((await client.triggers())["STREAM_END"]).toHaveLength(2);
    await removeTriggers(client, "http://127.0.0.1:9/");
    expect(await client.triggers()).toEqual({ STREAM_END: [other] });
    expect(await client.removeTrigger("STREAM_END", other.handler)).toBe(1);
    expect(await client.triggers()).toEqual({});
  });
});
