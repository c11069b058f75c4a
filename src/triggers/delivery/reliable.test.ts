import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { createMemoryLetters } from "../../../test/support/memory-letters.ts";
import { busScene } from "../../../test/support/trigger-bus.ts";
import { startTriggerServer } from "../../../test/support/trigger-server.ts";
import { parseTriggerEntries } from "../entry.ts";
import { createOutbox } from "./outbox.ts";
import { orderKeyOf } from "./reliable.ts";

const end = {
  ...{ token: "t", streams: "live", protocols: "FLV", hosts: "127.0.0.1", seconds: 3, up: 1000, down: 5, tags: "[a]" },
  ...{ hostSeconds: "3", protocolSeconds: "3", streamSeconds: "3", sessionId: "s1" },
};

function scene() {
  const letters = createMemoryLetters();
  const clock = new FakeClock();
  const outbox = createOutbox({ store: letters, clock, log: { write: () => undefined }, random: () => 0 });
  return { ...busScene({ outbox, clock }), letters, outbox, clock };
}

/** Lets real sockets and processes work until `done`. */
async function until(done: () => boolean, clock: FakeClock): Promise<void> {
  while (!done()) {
    await clock.advance(50);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("reliable delivery", () => {
  it("repeats an HTTP call with its UUID, its number and a counted attempt until the handler has taken it", async () => {
    let refusals = 2;
    await using handler = await startTriggerServer(() => (refusals-- > 0 ? { status: 503, body: "" } : "whatever"));
    await using run = scene();
    run.bus.configure({ USER_END: [{ handler: handler.url, delivery: "reliable", sync: true }], STREAM_END: [[handler.url]] });
    await run.bus.fire("USER_END", end);
    await until(() => handler.calls.length === 3 && run.letters.rows().length === 0, run.clock);
    expect(handler.calls.map(({ headers }) => [headers["x-attempt"], headers["x-trigger-sequence"]])).toEqual([
      ["1", "1"],
      ["2", "1"],
      ["3", "1"],
    ]);
    expect(new Set(handler.calls.map(({ headers }) => headers["x-trigger-uuid"])).size).toBe(1);
    expect(new Set(handler.calls.map(({ headers }) => headers["x-trigger-unixmillis"])).size).toBe(1);
    expect(handler.calls[2]?.body).toBe("t\nlive\nFLV\n127.0.0.1\n3\n1000\n5\n[a]\n3\n3\n3\ns1");
  });

  it("is kept before firing has ended, and before other handlers are asked", async () => {
    await using run = scene();
    let keptWhenAsked = false;
    run.bus.on("USER_END", () => void (keptWhenAsked = run.outbox.stats().waiting === 1));
    run.bus.configure({ USER_END: [{ handler: "http://127.0.0.1:1/", delivery: "reliable" }] });
    await run.bus.fire("USER_END", end);
    expect(keptWhenAsked).toBe(true);
    expect(run.letters.rows()).toMatchObject([{ trigger: "USER_END", orderKey: "session:s1", handler: "http://127.0.0.1:1/" }]);
    expect(run.bus.stats()["USER_END"]?.count).toBe(2);
    run.letters.fail("gone");
  });

  it("waits for a handler that is not configured now", async () => {
    await using handler = await startTriggerServer(() => "");
    await using run = scene();
    const entries = { STREAM_END: [{ handler: handler.url, delivery: "reliable", streams: ["live"] }] };
    const payload = { stream: "live", down: 0, up: 0, viewers: 0, inputs: 0, outputs: 0, viewerSeconds: 0 };
    run.bus.configure(entries);
    await run.bus.fire("STREAM_END", { ...payload, stream: "other" });
    expect(run.letters.rows()).toEqual([]);
    run.letters.hold();
    const fired = run.bus.fire("STREAM_END", payload);
    run.bus.configure({});
    run.letters.release();
    await fired;
    await settle();
    expect(run.letters.rows()).toMatchObject([{ attempts: 1, error: expect.stringContaining("no handler with this address") }]);
    run.bus.configure(entries);
    await until(() => run.letters.rows().length === 0, run.clock);
    expect(handler.of("STREAM_END")[0]?.lines[0]).toBe("live");
  });

  it("takes an executable at its exit code", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-reliable-"));
    try {
      const path = join(folder, "told");
      const lines = '#!/bin/sh\nread stream\necho "$1 $stream $MIST_ATTEMPT $MIST_SEQUENCE" >> "$0.log"\n[ "$MIST_ATTEMPT" = 2 ]\n';
      writeFileSync(path, lines);
      chmodSync(path, 0o755);
      await using run = scene();
      run.bus.configure({ STREAM_BUFFER: [{ handler: path, delivery: "reliable" }] });
      await run.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" });
      await until(() => run.letters.rows().length === 0, run.clock);
      expect(readFileSync(`${path}.log`, "utf8")).toBe("STREAM_BUFFER live 1 1\nSTREAM_BUFFER live 2 1\n");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("is for what tells and does not ask, and nothing else than reliable or direct", () => {
    const parse = (name: string, entry: object): unknown => parseTriggerEntries({ [name]: [{ handler: "http://h/", ...entry }] });
    expect(() => parse("USER_NEW", { delivery: "reliable", sync: true })).toThrow(
      'triggers.USER_NEW[0].delivery: here stands "reliable"; there must be nothing: USER_NEW asks',
    );
    expect(() => parse("PUSH_REWRITE", { delivery: "reliable" })).toThrow("PUSH_REWRITE asks");
    expect(() => parse("USER_END", { delivery: "twice" })).toThrow('"direct", or "reliable"');
    expect(() => parse("USER_END", { delivery: "reliable", mode: "shadow" })).toThrow("shadow");
    expect(() => parse("USER_END", { delivery: "direct" })).not.toThrow();
  });

  it("keeps the order of a session, of a stream, and of the server", () => {
    expect(orderKeyOf("USER_END", end)).toBe("session:s1");
    expect(orderKeyOf("STREAM_BUFFER", { stream: "live" })).toBe("stream:live");
    expect(orderKeyOf("OUTPUT_START", { config: {} })).toBe("server");
  });
});
