import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get } from "../support/viewer.ts";

const rest = async (sluice: Sluice, path: string, init: RequestInit = {}): Promise<{ status: number; json: Record<string, unknown> }> => {
  const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/triggers${path}`, {
    ...init,
    headers: { "Content-Type": "application/json" },
  });
  return { status: response.status, json: (await response.json().catch(() => ({}))) as Record<string, unknown> };
};

/** What was asked and answered, and handlers one by one, on a server that is killed. */
describe("trigger calls", () => {
  it("keeps handlers that were added by id, and the calls that were written down, over kill -9", async () => {
    await using handler = await startTriggerServer(() => "false");
    const sluice = await startSluice({ config: { streams: { live: { source: "push://" } } } });
    const entry = { handler: handler.url, sync: true, streams: [] };
    const { status, json } = await rest(sluice, "/handlers", { method: "POST", body: JSON.stringify({ trigger: "PLAY_REWRITE", entry }) });
    expect(status).toBe(201);
    await get(sluice.http("live.flv?tkn=a-secret-token"));
    const [call] = handler.of("PLAY_REWRITE");
    const shown = await rest(sluice, `/calls/${call?.headers["x-trigger-uuid"]}`);
    expect(shown.json).toMatchObject({ trigger: "PLAY_REWRITE", stream: "live", handlers: [{ id: json["id"], attempts: 1 }] });

    sluice.child.process.kill("SIGKILL");
    await sluice.child.exited;
    await using again = await sluice.again();
    expect((await rest(again, "")).json["handlers"]).toMatchObject([{ id: json["id"], trigger: "PLAY_REWRITE" }]);
    expect(await again.api({ config: {} })).toMatchObject({ config: { triggers: { PLAY_REWRITE: [{ handler: handler.url }] } } });
    expect((await rest(again, `/calls/${call?.headers["x-trigger-uuid"]}`)).json).toEqual(shown.json);
    expect((await rest(again, "/calls?find=a-secret-token")).json["calls"]).toHaveLength(1);
    const folder = join(again.folder, "data", "journal");
    for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name), "latin1")).not.toContain("secret-token");

    const before = handler.of("PLAY_REWRITE").length;
    expect((await rest(again, `/handlers/${json["id"]}`, { method: "DELETE" })).status).toBe(204);
    await get(again.http("live.flv?tkn=another"));
    expect(handler.of("PLAY_REWRITE")).toHaveLength(before);
  });
});
