import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { policyScene } from "../../test/support/policy-scene.ts";
import { accessControl, type AccessControlOptions } from "./access-control.ts";
import { signedQuery, signingKeys } from "./signed-url.ts";

const keys = { new: "the-new-secret-of-16", old: "the-old-secret-of-16" };

/** A scene with one live stream and these rules. */
async function ruled(options: AccessControlOptions) {
  const scene = await policyScene();
  scene.bench.live();
  await scene.apply(accessControl(options));
  let viewer = 0;
  /** Each time another viewer, unless it brings a token. */
  const ask = (part: Parameters<typeof scene.watch>[1] = {}, stream = "live"): Promise<string> =>
    scene.watch(stream, { ...part, query: { tkn: `viewer-${++viewer}`, ...part.query } });
  return { scene, ask, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
}

const signed = (stream: string, expires: number, { key = "new", address }: { key?: "new" | "old"; address?: string } = {}) => {
  const secret = signingKeys(keys).get(key);
  if (!secret) throw new Error("no such key");
  return Object.fromEntries(signedQuery({ stream, expires, address }, key, secret));
};

describe("accessControl", () => {
  it("lets the first rule that fits decide, and names it in the trace", async () => {
    await using door = await ruled({
      rules: [
        { name: "no bots", userAgent: ["*bot*"], deny: "no machines" },
        { name: "our site", referer: ["https://example.com/*"], allow: true },
        { origin: ["https://*.example.org"], allow: true },
        { addresses: ["203.0.113.0/24", "2001:db8::1"], protocols: ["flv"], allow: true },
        { name: "the rest", deny: true, reason: "members only" },
      ],
    });
    const cases: [Parameters<typeof door.ask>[0], string, string][] = [
      [{ headers: { "user-agent": "GoogleBot/2.1", referer: "https://example.com/page" } }, "no machines", "no bots"],
      [{ headers: { referer: "https://example.com/page" } }, "in", "our site"],
      [{ headers: { referer: "https://example.com.evil.test/" } }, "members only", "the rest"],
      [{ headers: { origin: "https://tv.example.org" } }, "in", "rule 3"],
      [{ headers: { origin: "https://example.org" } }, "members only", "the rest"],
      [{ address: "203.0.113.77" }, "in", "rule 4"],
      [{ address: "::ffff:203.0.113.78" }, "in", "rule 4"],
      [{ address: "2001:db8:0::1" }, "in", "rule 4"],
      [{ address: "203.0.114.1" }, "members only", "the rest"],
      [{ address: "203.0.113.79", protocol: "HLS" }, "members only", "the rest"],
      [{}, "members only", "the rest"],
    ];
    for (const [part, answer, rule] of cases) {
      expect([part, await door.ask(part)]).toEqual([part, answer]);
      const [last] = door.scene.bench.decisions.find({ limit: 1 });
      expect(last?.rule).toContain("policy accessControl");
      expect(JSON.stringify(last?.steps)).toContain(`accessControl: ${rule}`);
    }
  });

  it("keeps to the streams of a rule, and refuses whom none fits unless it says otherwise", async () => {
    const rules = [{ streams: ["live+", "!live+secret"], allow: true as const }];
    await using strict = await ruled({ rules });
    for (const name of ["live+a", "live+secret"]) strict.scene.bench.live(name);
    expect(await strict.ask({}, "live+a")).toBe("in");
    expect(await strict.ask({}, "live+secret")).toBe("you may not watch this");
    expect(await strict.ask({}, "live")).toBe("you may not watch this");
    await using open = await ruled({ rules: [{ streams: ["live"], deny: true }], otherwise: "allow" });
    open.scene.bench.live("other");
    expect([await open.ask(), await open.ask({}, "other")]).toEqual(["you may not watch this", "in"]);
  });

  it("takes signed addresses of every key, for their stream, time and client alone", async () => {
    await using door = await ruled({ rules: [{ signed: keys }] });
    const { clock } = door.scene.bench;
    const soon = Math.floor(clock.now() / 1000) + 60;
    expect(await door.ask()).toBe("this address needs a signature");
    expect(await door.ask({ query: signed("live", soon) })).toBe("in");
    expect(await door.ask({ query: signed("live", soon, { key: "old" }) })).toBe("in");
    expect(await door.ask({ query: signed("other", soon) })).toBe("the signature of this address is wrong");
    expect(await door.ask({ query: signed("live", soon - 60) })).toBe("this address has expired");
    const own = signed("live", soon, { address: "192.0.2.7" });
    expect(await door.ask({ query: own, address: "192.0.2.7" })).toBe("in");
    expect(await door.ask({ query: own, address: "192.0.2.8" })).toBe("this address is for another client");
    const { ip: _ip, ...withoutAddress } = own;
    for (const bent of [
      { ...signed("live", soon), expires: String(soon + 1) },
      { ...signed("live", soon), key: "old" },
      { ...signed("live", soon), key: "__proto__" },
      { ...signed("live", soon), signature: "" },
      { ...signed("live", soon), signature: "A".repeat(43) },
      { ...signed("live", soon), expires: "1e99" },
      { ...signed("live", soon), ip: "" },
      withoutAddress,
    ])
      expect(await door.ask({ query: bent })).not.toBe("in");
  });

  it("ends who watches by a signed address at its end; a fresh address lets in at once", async () => {
    await using door = await ruled({ rules: [{ signed: keys }] });
    const { clock } = door.scene.bench;
    const seconds = (): number => Math.floor(clock.now() / 1000);
    const { admission } = await door.scene.view("live", { query: { tkn: "a", ...signed("live", seconds() + 30) } });
    await clock.advance(29_000);
    expect(admission?.signal.aborted).toBe(false);
    await clock.advance(1_500);
    expect(admission?.signal.aborted).toBe(true);
    expect(await door.ask({ query: { tkn: "b", ...signed("live", seconds() - 1) } })).toBe("this address has expired");
    expect(await door.ask({ query: { tkn: "b", ...signed("live", seconds() + 30) } })).toBe("in");
    // The session that has run out is asked about again after 5 seconds.
    await clock.advance(5_000);
    expect(await door.ask({ query: { tkn: "a", ...signed("live", seconds() + 30) } })).toBe("in");
  });

  it("says no to everybody at a rule for JWTs, as who has one was let in before", async () => {
    await using door = await ruled({ rules: [{ jwt: true }] });
    expect(await door.ask()).toBe("this needs a token (JWT) that holds");
  });

  it("asks a function about cookies, remembers its yes, and asks again about who watches", async () => {
    const asked: string[] = [];
    const good = new Set(["ann"]);
    const check = (value: string, { stream }: { readonly stream: string }): boolean => {
      asked.push(`${value} ${stream}`);
      if (value === "broken") throw new Error("the database is down");
      return good.has(value);
    };
    await using door = await ruled({ rules: [{ cookie: { name: "session", check, ttl: "30s" } }] });
    const { clock } = door.scene.bench;
    expect(await door.ask()).toBe("please log in first");
    const { admission } = await door.scene.view("live", { query: { tkn: "ann-1" }, cookies: { session: "ann" } });
    expect(await door.ask({ cookies: { session: "ann" } })).toBe("in");
    expect(asked).toEqual(["ann live"]);
    // A no is remembered for a moment by its cookie, not by the viewer: who logs in has another one.
    for (let i = 0; i < 3; i++) expect(await door.ask({ query: { tkn: "b" }, cookies: { session: "eve" } })).toBe("please log in first");
    expect(asked).toEqual(["ann live", "eve live"]);
    expect(await door.ask({ query: { tkn: "b" }, cookies: { session: "ann" } })).toBe("in");
    expect(await door.ask({ cookies: { session: "broken" } })).toBe("access cannot be checked now; try again in a moment");
    good.delete("ann");
    await clock.advance(29_000);
    expect(admission?.signal.aborted).toBe(false);
    await clock.advance(3_000);
    expect(admission?.signal.aborted).toBe(true);
  });

  it("asks an address about cookies: 2xx is yes, 401, 403 and 404 are no, all else is a failure", async () => {
    const heard: { url: string; headers: IncomingHttpHeaders }[] = [];
    const site = createServer(({ url = "", headers }, response) => {
      heard.push({ url, headers });
      const status = Number(/session=(\d+)/.exec(headers.cookie ?? "")?.[1] ?? 500);
      response.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end("x");
    });
    await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
    try {
      const check = `http://127.0.0.1:${(site.address() as AddressInfo).port}/check?from=sluice`;
      await using door = await ruled({ rules: [{ cookie: { name: "session", check } }] });
      const by = (status: number) => door.ask({ cookies: { session: String(status) }, headers: { cookie: `session=${status}; other=1` } });
      const failed = "access cannot be checked now; try again in a moment";
      expect([await by(200), await by(204)]).toEqual(["in", "in"]);
      for (const status of [401, 403, 404]) expect([status, await by(status)]).toEqual([status, "please log in first"]);
      for (const status of [302, 400, 500, 503]) expect([status, await by(status)]).toEqual([status, failed]);
      expect(heard[0]).toMatchObject({
        url: "/check?from=sluice&stream=live",
        headers: { cookie: "session=200; other=1", "x-forwarded-for": "127.0.0.1" },
      });
    } finally {
      site.close();
    }
  });

  it.each<[object, RegExp]>([
    [{}, /accessControl\.rules must be a list of rules/],
    [{ rules: [] }, /a list with one rule at least/],
    [{ rules: [{ streams: ["live"] }] }, /accessControl\.rules\.0 must be a rule with one of allow, deny, signed, jwt, cookie/],
    [{ rules: [{ allow: true, jwt: true }] }, /accessControl\.rules\.0 must be a rule with one of/],
    [{ rules: [{ addresses: ["10.0.0.0/99"], allow: true }] }, /addresses\.0 must be an address or a network/],
    [{ rules: [{ signed: { a: "short" } }] }, /keys by name/],
    [{ rules: [{ signed: {} }] }, /keys by name/],
    [{ rules: [{ cookie: { name: "a", check: "nowhere" } }] }, /check must be a function, or the URL of a check/],
    [{ rules: [{ allow: true, adresses: ["10.0.0.1"] }] }, /accessControl\.rules\.0 has no option "adresses"/],
    [{ rules: [{ allow: true }], otherwise: "maybe" }, /otherwise must be "allow" or "deny"/],
  ])("refuses the options %j", (options, words) => {
    expect(() => accessControl(options as AccessControlOptions)).toThrow(words);
  });
});
