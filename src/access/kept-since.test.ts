import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { openStore, type Store } from "../store/store.ts";
import type { CloseReason, Stream } from "../streams/stream.ts";
import { openKeptSince, type SinceStore } from "./kept-since.ts";

describe("since when streams play, over restarts", () => {
  let folder: string;
  let store: Store;
  let clock: FakeClock;
  const lines: string[] = [];
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-since-"));
    store = await openStore(folder);
    clock = new FakeClock();
    lines.length = 0;
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  const start = (from: SinceStore = store.liveStreams) =>
    openKeptSince({ clock, log: { write: (_, text) => void lines.push(text) }, store: from, resumes: (base) => base === "live" });
  const playing = (name: string) => {
    const closed = Promise.withResolvers<CloseReason>();
    return {
      stream: { name, kind: "live", closed: closed.promise } as Stream,
      end: (code: CloseReason["code"]) => closed.resolve({ code, text: "" }),
    };
  };
  const rows = async () => Object.fromEntries(await store.liveStreams.read());

  it("goes on for a publisher with resume who is back within a minute, after a kill and after an orderly end", async () => {
    using one = await start();
    const [a, b] = [playing("live+a"), playing("live+b")];
    const begun = one.begin(a.stream);
    one.begin(b.stream);
    one.begin(playing("other").stream);
    expect(begun).toBe(clock.now());
    await expect.poll(rows).toEqual({ "live+a": begun, "live+b": begun });
    a.end("CLEAN_SIGNAL");
    b.end("CLEAN_EOF");
    await expect.poll(rows).toEqual({ "live+a": begun });
    await clock.advance(3_600_000);
    using two = await start();
    await clock.advance(59_000);
    expect([two.begin(playing("live+a").stream), two.begin(playing("live+b").stream)]).toEqual([begun, clock.now()]);
    // One that begins once more while the server runs begins anew.
    expect(two.begin(playing("live+a").stream)).toBe(clock.now());
  });

  it("begins anew after a minute, and where resume is off by now; what nobody takes up is forgotten", async () => {
    await store.liveStreams.write("live+a", 5);
    await store.liveStreams.write("other", 6);
    await store.liveStreams.write("live+x", Number.MAX_SAFE_INTEGER);
    using kept = await start();
    expect(kept.begin(playing("other").stream)).toBe(clock.now());
    expect(kept.begin(playing("live+x").stream)).toBe(clock.now());
    await clock.advance(60_001);
    await expect.poll(rows).toEqual({ "live+x": clock.now() - 60_001 });
    expect(kept.begin(playing("live+a").stream)).toBe(clock.now());
  });

  it("loses nothing but the age when the store fails", async () => {
    const fail = () => Promise.reject(new Error("disk full"));
    using kept = await start({ read: () => Promise.resolve(new Map()), write: fail, remove: fail });
    expect(kept.begin(playing("live").stream)).toBe(clock.now());
    await expect.poll(() => lines).toEqual(["Since when a stream plays could not be kept: disk full"]);
  });
});
