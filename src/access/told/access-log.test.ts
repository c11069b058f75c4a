import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { allow } from "../../base/decision.ts";
import { defaultSessionSettings, type Identity, type Sessions } from "../../sessions/session.ts";
import { createSessions } from "../../sessions/sessions.ts";
import { AccessLog } from "./access-log.ts";

let directory: string;
let clock: FakeClock;
let sessions: Sessions;
let setting: string;
let logged: string[];
let accessLog: AccessLog;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-access-log-"));
  clock = new FakeClock(new Date(2026, 10, 3, 4, 5, 6).getTime());
  logged = [];
  const log = { write: (kind: string, message: string) => void logged.push(`${kind} ${message}`) };
  sessions = createSessions({ clock, log, settings: () => defaultSessionSettings });
  accessLog = new AccessLog({ clock, log, sessions, setting: () => setting });
  setting = join(directory, "access.log");
});

afterEach(async () => {
  await accessLog[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** A session of 22 seconds with 34 KiB/s up. Gives its id. */
async function watch(part: Partial<Identity> = {}, tags: readonly string[] = []): Promise<string> {
  const identity: Identity = { type: "viewer", stream: "live", address: "127.0.0.1", token: "t", protocol: "FLV", url: "", ...part };
  const connection = await sessions.join(identity, async () => allow({ tags }));
  connection.count(22 * 34 * 1024 + 1023, 22 * 1024 - 1);
  await clock.advance(21_000);
  sessions.stop({ ids: [connection.sessionId] }, "over");
  return connection.sessionId;
}

const lines = (path = setting): string[] => readFileSync(path, "utf8").split("\n");

describe("the access log", () => {
  it("writes MistServer's line into the log", async () => {
    setting = "LOG";
    const id = await watch();
    await watch({}, ["gold", "UA:VLC"]);
    expect(logged).toEqual([
      `ACCS Session <${id}> live (FLV) from 127.0.0.1 ended after 22s, avg 34KB/s up 0KB/s down.`,
      `ACCS Session <${id}> live (FLV) from 127.0.0.1 ended after 22s, avg 34KB/s up 0KB/s down. Tags: [gold][UA:VLC]`,
    ]);
  });

  it("writes MistServer's line into a file, in the machine's time", async () => {
    const id = await watch({}, ["gold", "UA:VLC"]);
    const other = await watch({ address: "2001:db8::1", protocol: "HLS" });
    await accessLog.drained();
    expect(lines()).toEqual([
      `2026-11-03 04:05:27, ${id}, live, FLV, 127.0.0.1, 22, 34, 0, [gold][UA:VLC]`,
      `2026-11-03 04:05:48, ${other}, live, HLS, 2001:db8::1, 22, 34, 0, `,
      "",
    ]);
    expect(logged).toEqual([]);
  });

  it("writes nothing without a setting, about publishers, and about who was refused", async () => {
    await watch({ type: "input", protocol: "INPUT:RTMP" });
    setting = "";
    await watch();
    await accessLog.drained();
    expect(() => lines(join(directory, "access.log"))).toThrow("ENOENT");
    expect(logged).toEqual([]);
  });

  it("lets nobody write a line of their own", async () => {
    await watch({ stream: "live+a\n2026-11-03 04:05:27, forged" }, ["x\r\n2026, forged", "\u2028y"]);
    await accessLog.drained();
    expect(lines().map((line) => line.includes("forged"))).toEqual([true, false]);
  });

  it("goes on in a new file when the old one was moved or removed, and in another when the setting changes", async () => {
    await watch();
    await accessLog.drained();
    renameSync(setting, `${setting}.1`);
    await watch({ stream: "second" });
    await accessLog.drained();
    unlinkSync(setting);
    await watch({ stream: "third" });
    await accessLog.drained();
    const before = setting;
    setting = join(directory, "other.log");
    await watch({ stream: "fourth" });
    await accessLog.drained();
    const streamsOf = (path: string): unknown[] =>
      lines(path)
        .slice(0, -1)
        .map((line) => line.split(", ")[2]);
    expect([`${before}.1`, before, setting].map(streamsOf)).toEqual([["live"], ["third"], ["fourth"]]);
  });

  it("adds to what is there", async () => {
    for (const stream of ["one", "two"]) {
      await watch({ stream });
      await accessLog[Symbol.asyncDispose]();
      accessLog = new AccessLog({ clock, log: { write: () => undefined }, sessions, setting: () => setting });
    }
    expect(lines().length).toBe(3);
  });

  it("tells a full disk once, keeps the lines for later, and says when it works again", async () => {
    const path = setting;
    symlinkSync("/dev/full", path);
    await watch();
    await watch({ stream: "second" });
    await accessLog.drained();
    await clock.advance(5_000);
    await accessLog.drained();
    expect(logged).toEqual([expect.stringMatching(/^ERROR The access log cannot be written \(ENOSPC.*its lines wait/)]);
    unlinkSync(path);
    await clock.advance(1_000);
    await accessLog.drained();
    expect(logged.slice(1)).toEqual(["INFO The access log can be written again"]);
    expect(
      lines()
        .slice(0, -1)
        .map((line) => line.split(", ")[2]),
    ).toEqual(["live", "second"]);
  });

  it("keeps no more than 4 MiB of lines while the disk does not work, and tells how many were lost", async () => {
    symlinkSync("/dev/full", setting);
    const stream = `live+${"x".repeat(90)}`;
    const tag = "y".repeat(500);
    // Each line has more than 650 bytes: 4 MiB are reached before the 6500th.
    const open = await Promise.all(
      Array.from({ length: 7000 }, (_, at) =>
        sessions.join({ type: "viewer", stream, address: "127.0.0.1", token: `t${at}`, protocol: "FLV", url: "" }, async () =>
          allow({ tags: [tag] }),
        ),
      ),
    );
    expect(sessions.stop({ streams: [stream] }, "over")).toBe(open.length);
    await accessLog.drained();
    unlinkSync(setting);
    await clock.advance(1_000);
    await accessLog.drained();
    const written = lines().length - 1;
    expect(written).toBeLessThan(6_500);
    expect(logged.at(-1)).toBe(`INFO The access log can be written again; ${7000 - written} lines were lost`);
  });

  it("tells what is wrong with a path, and nobody waits for it", async () => {
    setting = join(directory, "missing", "access.log");
    await watch();
    await accessLog.drained();
    expect(logged).toEqual([expect.stringMatching(/^ERROR The access log cannot be written \(ENOENT.*missing/)]);
  });
});
