import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { GateBench } from "../../test/support/gate-bench.ts";
import { tinyPacket, videoTrack } from "../../test/support/tiny-format.ts";
import { rewrite } from "../base/decision.ts";
import type { StreamWriter } from "../streams/stream.ts";

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
});
afterEach(async () => await bench.close());

async function feed(writer: StreamWriter, fromMs: number, ms: number): Promise<void> {
  for (let at = fromMs; at < fromMs + ms; at += 40) {
    writer.write(tinyPacket(1, at, at % 1000 === 0));
    await bench.clock.advance(40);
  }
}

describe("who pushes to a stream that somebody pushes to already", () => {
  it("is refused, where nothing else is said", async () => {
    const first = await bench.gate.publish(bench.push("live"));
    first.value.describe([videoTrack()]);
    await expect(bench.gate.publish(bench.push("live"))).rejects.toMatchObject({ code: "access.taken" });
    first[Symbol.dispose]();
  });

  it("takes over where the answer says so: the stream goes on, and the first is ended with the reason", async () => {
    bench.on("PUSH_REWRITE", () => rewrite("live", { whenTaken: "take-over", tags: ["cam"] }));
    const first = await bench.gate.publish(bench.push("key"));
    first.value.describe([videoTrack()]);
    await feed(first.value, 0, 2000);
    expect(bench.sessions.get(first.sessionId)?.tags).toEqual(["cam"]);
    const second = await bench.gate.publish(bench.push("key"));
    expect(second.value.stream).toBe(first.value.stream);
    expect(first.signal.reason).toMatchObject({ code: "access.taken" });
    expect(second.signal.aborted).toBe(false);
  });

  it("waits as a backup and goes on when the first has gone; it gives up when its connection closes", async () => {
    bench.on("PUSH_REWRITE", () => rewrite("live", { whenTaken: "backup" }));
    const first = await bench.gate.publish(bench.push("key"));
    first.value.describe([videoTrack()]);
    await feed(first.value, 0, 2000);
    const gone = bench.connection();
    const impatient = bench.gate.publish(bench.push("key", { connection: gone })).catch((error: unknown) => error);
    let begun = false;
    const waiting = bench.gate.publish(bench.push("key")).then((admission) => {
      begun = true;
      return admission;
    });
    await feed(first.value, 2000, 1000);
    gone.close();
    expect(await impatient).toMatchObject({ code: "access.ended" });
    expect(begun).toBe(false);
    const { stream } = first.value;
    await first.value.close({ code: "CLEAN_REMOTE_CLOSE", text: "closed" });
    await settle();
    const backup = await waiting;
    expect(backup.value.stream).toBe(stream);
    expect(bench.directory.get("live")).toBe(stream);
  });
});
