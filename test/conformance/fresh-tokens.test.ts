import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get, view } from "../support/viewer.ts";

/** Tokens that come beside older ones: MistServer begins another session for each. */
describe("a fresh token", () => {
  let sluice: Sluice;
  let publisher: Awaited<ReturnType<typeof publishSample>>;
  const asked = async (): Promise<readonly { readonly sessionId: string; readonly token: string; readonly recheck: boolean }[]> => {
    const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/triggers/calls?trigger=USER_NEW&stream=live`);
    const { calls } = (await response.json()) as { calls: readonly { payload: { sessionId: string; token: string; recheck: boolean } }[] };
    return calls.map(({ payload: { sessionId, token, recheck } }) => ({ sessionId, token, recheck })).toReversed();
  };
  beforeAll(async () => {
    const config = `export default { streams: { live: "push://" }, journal: { unmasked: true }, triggers: {
      USER_NEW: ({ token }) => (token === "stolen" ? { kind: "deny", reason: "this token is stolen" } : true) } };`;
    sluice = await startSluice({ config });
    publisher = await publishSample(sluice.ports.rtmp, "live");
  });
  afterAll(async () => {
    publisher?.socket.destroy();
    await sluice?.[Symbol.asyncDispose]();
  });

  it("beside the cookie of the one before goes on with the same session", async () => {
    using first = await view(sluice.http("live.flv?tkn=old"));
    expect(first.status).toBe(200);
    await first.atLeast(10_000);
    using second = await view(sluice.http("live.flv?tkn=new"), { cookie: "tkn=old" });
    expect(second.status).toBe(200);
    await second.atLeast(10_000);
    const calls = await asked();
    expect(calls.map(({ token, recheck }) => [token, recheck])).toEqual([
      ["old", false],
      ["new", true],
    ]);
    expect(calls[1]?.sessionId).toBe(calls[0]?.sessionId);
    const refused = await get(sluice.http("live.flv?tkn=stolen&was=new"));
    expect([refused.status, refused.text.split("\n")[0]]).toEqual([403, "this token is stolen"]);
    const living = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/sessions?type=viewer`);
    expect(await living.json()).toMatchObject({ items: [{ id: calls[0]?.sessionId, state: "accepted" }] });
  });
});
