import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { view } from "../support/viewer.ts";

/** Calls of which no exchange was recorded, over the API of a running server. */
describe("calls of MistServer's API", () => {
  it("tags that a stream is given while it plays, or before it comes, count for `#tag` in triggers", async () => {
    await using handler = await startTriggerServer(() => "true");
    const triggers = {
      USER_NEW: [{ handler: `${handler.url}vip`, sync: true, streams: ["#vip"] }],
      STREAM_BUFFER: [{ handler: `${handler.url}vip`, sync: false, streams: ["#vip"] }],
    };
    await using sluice = await startSluice({
      config: { config: { triggers }, streams: { live: { source: "push://", tags: ["hd"] }, plain: { source: "push://" } } },
    });
    await sluice.api({ tag_stream: { live: ["vip", "news"] } });
    const publishers = [await publishSample(sluice.ports.rtmp, "live"), await publishSample(sluice.ports.rtmp, "plain")];
    await handler.called("STREAM_BUFFER", ({ lines }) => lines[1] === "FULL");
    expect(await sluice.api({ stream_tags: true, active_streams: ["tags"] })).toMatchObject({
      stream_tags: { live: ["hd", "vip", "news"], plain: [] },
      active_streams: { live: [["hd", "vip", "news"]], plain: [null] },
    });
    const watch = async (stream: string, token: string): Promise<void> => {
      using viewer = await view(sluice.http(`${stream}.flv?tkn=${token}`));
      await viewer.atLeast(1000);
    };
    await watch("live", "a");
    await watch("plain", "b");
    await sluice.api({ untag_stream: { live: "vip" }, tag_stream: { plain: "vip" } });
    await watch("live", "c");
    await watch("plain", "d");
    expect(handler.of("USER_NEW").map(({ lines: [stream, , token] }) => `${stream} ${token}`)).toEqual(["live a", "plain d"]);
    expect(handler.of("STREAM_BUFFER").map(({ lines: [stream] }) => stream)).toEqual(["live"]);
    for (const { socket } of publishers) socket.destroy();
  });

  it("invalidate_sessid asks again about one viewer and leaves the others alone", async () => {
    let letsIn = true;
    await using handler = await startTriggerServer(({ name }) => (name === "USER_NEW" ? String(letsIn) : ""));
    await using sluice = await startSluice({
      config: {
        config: {
          triggers: {
            USER_NEW: [{ handler: handler.url, sync: true, streams: [] }],
            USER_END: [{ handler: handler.url, sync: false, streams: [] }],
          },
        },
        streams: { live: { source: "push://" } },
      },
    });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    using anna = await view(sluice.http("live.flv?tkn=anna"));
    using bert = await view(sluice.http("live.flv?tkn=bert"));
    await Promise.all([anna.atLeast(20_000), bert.atLeast(20_000)]);
    const sessid = handler.of("USER_NEW").find(({ lines }) => lines[2] === "anna")?.lines[5] ?? "";
    await sluice.api({ tag_sessid: { [sessid]: ["paid", "gone"] } });
    await sluice.api({ untag_sessid: { [sessid]: "gone" } });
    const tags = (await sluice.api({ clients: { sessids: [sessid], fields: ["tags"] } }))["clients"] as { data: string[][][] };
    expect(tags.data).toEqual([[["paid"]]]);
    letsIn = false;
    expect(await sluice.api({ invalidate_sessid: sessid })).toEqual({ LTS: 1 });
    await anna.closed;
    const end = await handler.called("USER_END");
    expect([end.lines[0], end.lines[7], end.lines[11]]).toEqual(["anna", "[paid]", sessid]);
    expect(handler.of("USER_NEW").map(({ lines }) => lines[2])).toEqual(["anna", "bert", "anna"]);
    expect(((await sluice.api({ active_streams: ["viewers"] }))["active_streams"] as { live: unknown[] }).live).toEqual([1]);
    publisher.socket.destroy();
  });

  it("config_backup and config_restore bring a changed server back; what was restored is there after kill -9", async () => {
    await using sluice = await startSluice({
      config: { config: { serverid: "one", tknMode: 3 }, streams: { live: { source: "push://" }, other: { source: "push://" } } },
    });
    const { config_backup: backup } = await sluice.api({ config_backup: true });
    await sluice.api({
      config: { serverid: "two", tknMode: 15 },
      deletestream: "other",
      addstream: { third: { source: "push://" } },
      tags: ["x"],
    });
    await sluice.api({ config_restore: backup });
    const shown = async (server: typeof sluice): Promise<unknown> => {
      const { config, streams, tags } = (await server.api({ config: true, streams: true, tags: true })) as Record<
        string,
        Record<string, unknown>
      >;
      return { serverid: config?.["serverid"], tknMode: config?.["tknMode"], streams: Object.keys(streams ?? {}), tags };
    };
    const wanted = { serverid: "one", tknMode: 3, streams: ["live", "other"], tags: [] };
    expect(await shown(sluice)).toEqual(wanted);
    sluice.child.process.kill("SIGKILL");
    await sluice.child.exited;
    await using again = await sluice.again();
    expect(await shown(again)).toEqual(wanted);
  });

  it("config_reload reads the file at once, and says when it is wrong", async () => {
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, serverid: "one" } });
    const file = join(sluice.folder, "sluice.config.json");
    writeFileSync(file, JSON.stringify({ streams: { live: "push://" }, serverid: "two" }));
    const serverid = async (): Promise<unknown> => ((await sluice.api({ config: {} }))["config"] as { serverid: unknown }).serverid;
    expect(await sluice.api({ config_reload: true })).not.toHaveProperty("error");
    expect(await serverid()).toBe("two");
    writeFileSync(file, '{"streams": 7}');
    expect(await sluice.api({ config_reload: true })).toMatchObject({ error: expect.stringContaining("the log says") });
    expect(await serverid()).toBe("two");
  });

  it("no_unconfigured_streams and nuke_stream end publishers", async () => {
    await using sluice = await startSluice({
      config: { config: {}, streams: { live: { source: "push://" }, gone: { source: "push://" } } },
    });
    const live = await publishSample(sluice.ports.rtmp, "live");
    const gone = await publishSample(sluice.ports.rtmp, "gone+one");
    await sluice.api({ deletestream: "gone" });
    await sluice.api({ no_unconfigured_streams: true });
    await gone.closed;
    expect((await sluice.api({ active_streams: { fields: ["status"], streams: "live" } }))["active_streams"]).toMatchObject({
      data: { live: ["Online"] },
    });
    await sluice.api({ nuke_stream: "live" });
    await live.closed;
  });

  it("variables with a command or a value of their own stand in names of streams", async () => {
    await using sluice = await startSluice({
      config: { config: { defaultStream: "$instead" }, streams: { slate: { source: "push://" } } },
    });
    const publisher = await publishSample(sluice.ports.rtmp, "slate");
    const status = async (): Promise<number> => {
      using viewer = await view(sluice.http("nosuch.flv"));
      return viewer.status;
    };
    expect(await status()).toBe(404);
    expect(await sluice.api({ variable_add: ["instead", "printf '%s\\n' slate", 0] })).not.toHaveProperty("error");
    await expect.poll(status).toBe(200);
    await sluice.api({ variable_remove: "instead" });
    expect(await status()).toBe(404);
    await sluice.api({ variable_add: ["instead", "slate"] });
    expect(await status()).toBe(200);
    publisher.socket.destroy();
  });
});
