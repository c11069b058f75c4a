import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { view } from "../support/viewer.ts";

/** Largest file that the process may write; the kernel refuses more, as a full disk does. */
function limitFiles(pid: number | undefined, bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`]);
}

const count = (text: string, pattern: RegExp): number => text.match(new RegExp(pattern, "g"))?.length ?? 0;

// Only Linux can limit a process that runs already (prlimit).
describe.skipIf(process.platform !== "linux")("a store that refuses writing", () => {
  it("stops nobody from playing, is told of once, and loses nothing when it works again", async () => {
    await using handler = await startTriggerServer(() => "true");
    const triggers = {
      USER_NEW: [{ handler: handler.url, sync: true }],
      USER_END: [{ handler: handler.url, delivery: "reliable" }],
      STREAM_BUFFER: [{ handler: handler.url, delivery: "reliable" }],
    };
    await using sluice = await startSluice({ config: { config: { triggers }, streams: { live: { source: "push://" } } } });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await Promise.race([handler.called("STREAM_BUFFER"), encoder.exited]);
    using before = await view(sluice.http("live.flv?tkn=before"));
    await before.atLeast(1);

    limitFiles(sluice.child.process.pid, 1);
    using during = await view(sluice.http("live.flv?tkn=during"));
    const received = during.received();
    await during.atLeast(received + 20_000);
    const sessions = handler.of("USER_NEW").map(({ lines }) => lines[5]);
    await sluice.api({ stop_sessid: sessions });
    const ends = [
      await handler.called("USER_END", ({ lines }) => lines[0] === "before"),
      await handler.called("USER_END", ({ lines }) => lines[0] === "during"),
    ];
    for (const end of ends) expect(end.headers["x-trigger-sequence"]).toBeUndefined();
    expect(count(sluice.child.stderr(), /Notifications cannot be kept \(disk I\/O error\)/)).toBe(1);
    expect(count(sluice.child.stderr(), /Sessions cannot be written to the store \(disk I\/O error\)/)).toBe(1);

    limitFiles(sluice.child.process.pid, "unlimited");
    using after = await view(sluice.http("live.flv?tkn=after"));
    await after.atLeast(1);
    await sluice.child.printed(/Sessions can be written to the store again/);
    await sluice.child.stop("SIGKILL");
    await using again = await sluice.again();
    const end = await handler.called("USER_END", ({ lines }) => lines[0] === "after");
    expect(end.lines[7]).toContain("[server-restart]");
    expect(Number(end.headers["x-trigger-sequence"])).toBeGreaterThan(0);
    expect(await again.child.stop()).toBe(0);
    const told = handler.of("USER_END").map(({ lines }) => lines[0]);
    expect(told.toSorted()).toEqual(["after", "before", "during"]);
  });
});
