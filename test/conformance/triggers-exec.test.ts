import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite } from "../../src/base/decision.ts";
import { createClock } from "../../src/host/clock.ts";
import { checkFailed } from "../../src/triggers/answer.ts";
import { type BusScene, busScene, push, viewer } from "../support/trigger-bus.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice-exec-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

/** Writes a shell script and gives its path. */
function script(text: string, mode = 0o755): string {
  const path = join(folder, `handler-${++count}.sh`);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, mode);
  return path;
}

function scene(entries: unknown, limits = { termMs: 10_000, killMs: 14_000 }): BusScene {
  const made = busScene({ clock: createClock(), limits });
  made.bus.configure(entries);
  return made;
}

/** True while a process lives. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed orphan may wait for its reaper; it does nothing any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const numberIn = (path: string): number => (existsSync(path) ? Number(readFileSync(path, "utf8")) : 0);

describe("an executable handler", () => {
  it("gets the trigger's name, the payload, the environment, and its output is the answer", async () => {
    const out = join(folder, "seen");
    const path = script(`{ echo "$#|$1"; env | grep ^MIST_ | sort; echo --; cat; } > ${out}; echo " live "; exit 1`);
    await using made = scene({ PUSH_REWRITE: [{ handler: path, sync: true, default: "" }] });
    expect(await made.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
    const [head = "", body] = readFileSync(out, "utf8").split("--\n");
    expect(body).toBe("rtmp://127.0.0.1:1935/live/key1\n127.0.0.1\nkey1");
    const lines = head.trimEnd().split("\n");
    expect(lines[0]).toBe("1|PUSH_REWRITE");
    expect(lines.slice(1).map((line) => line.split("=")[0])).toEqual([
      "MIST_DATE",
      "MIST_INSTANCE",
      "MIST_NAME",
      "MIST_PID",
      "MIST_TIME",
      "MIST_TRIGGER",
      "MIST_TRIG_DEF",
      "MIST_TUUID",
    ]);
    expect(lines).toContain("MIST_TRIG_DEF=true");
    expect(lines).toContain("MIST_NAME=test server");
    expect(made.lines).toEqual([]);
  });

  it("may print nothing: an empty answer", async () => {
    const path = script("exit 0");
    await using made = scene({ USER_NEW: [[path, true]], STREAM_SOURCE: [[path, true]] });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(deny());
    expect(await made.bus.fire("STREAM_SOURCE", { stream: "live" })).toEqual(keep());
  });

  it("may leave its input unread, however long that is", async () => {
    const path = script("exec <&-; echo true");
    await using made = scene({ USER_NEW: [[path, true]] });
    expect(await made.bus.fire("USER_NEW", { ...viewer, url: "x".repeat(1 << 20) })).toEqual(allow());
  });

  it("may start something that goes on and holds the output open: the answer does not wait for that", async () => {
    const pidFile = join(folder, "background");
    const path = script(`sleep 30 & echo $! > ${pidFile}; echo true`);
    await using made = scene({ USER_NEW: [[path, true]] });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(allow());
    const pid = numberIn(pidFile);
    expect(lives(pid)).toBe(true);
    process.kill(pid);
  });

  it.each([
    ["is not there", () => join(folder, "no-such-file"), "ENOENT"],
    ["may not be run", () => script("echo true", 0o644), "EACCES"],
  ])("that %s: no access (MistServer: access)", async (_, path, words) => {
    await using made = scene({ USER_NEW: [[path(), true]], PUSH_REWRITE: [[path(), true]] });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(await made.bus.fire("PUSH_REWRITE", push)).toEqual(keep());
    expect(made.lines[0]).toContain("it could not be started");
    expect(made.lines[0]).toContain(words);
  });

  it("that sleeps is stopped with its children, and has failed", async () => {
    const pidFile = join(folder, "sleeper");
    const path = script(`sleep 60 & echo $! > ${pidFile}; wait`);
    await using made = scene({ USER_NEW: [[path, true]] }, { termMs: 300, killMs: 10_000 });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(made.lines[0]).toContain("it printed nothing within 300 ms and was stopped");
    await expect.poll(() => lives(numberIn(pidFile))).toBe(false);
  });

  it("that does not want to end is killed, with a grandchild that does not want either", async () => {
    const pidFile = join(folder, "stubborn");
    const child = script(`trap "" TERM; echo $$ > ${pidFile}; while :; do sleep 1; done`);
    const path = script(`trap "" TERM; ${child} & while :; do sleep 1; done`);
    await using made = scene({ USER_NEW: [[path, true]] }, { termMs: 200, killMs: 600 });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    await expect.poll(() => lives(numberIn(pidFile))).toBe(false);
  });

  it("that had to be stopped but has answered before: the answer counts", async () => {
    const path = script("echo true; sleep 60");
    await using made = scene({ USER_NEW: [[path, true]] }, { termMs: 300, killMs: 10_000 });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(made.lines).toEqual([]);
  });

  it("that prints without end is stopped", async () => {
    const path = script("yes true");
    await using made = scene({ USER_NEW: [[path, true]] });
    expect(await made.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(made.lines[0]).toContain("it printed more than 1048576 bytes");
  });
});

describe("an executable that is only told", () => {
  it("may print as much as it likes: its output is read (MistServer: it dies of that)", async () => {
    const done = join(folder, "done");
    const path = script(
      `cat > /dev/null; head -c 300000 /dev/zero; head -c 300000 /dev/zero; echo $? > ${done}.new; mv ${done}.new ${done}`,
    );
    await using made = scene({ STREAM_BUFFER: [[path, false]], USER_NEW: [{ handler: path, sync: false, default: "false" }] });
    await made.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" });
    await made.bus[Symbol.asyncDispose]();
    expect(readFileSync(done, "utf8")).toBe("0\n");
    expect(made.lines).toEqual([]);
  });

  it("is let go when the server ends, not killed", async () => {
    const pidFile = join(folder, "told");
    const path = script(`echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 30`);
    const made = busScene({ clock: createClock(), limits: { drainMs: 50 } });
    made.bus.configure({ STREAM_BUFFER: [[path, false]] });
    await made.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" });
    await expect.poll(() => numberIn(pidFile)).toBeGreaterThan(0);
    await made.bus[Symbol.asyncDispose]();
    expect(lives(numberIn(pidFile))).toBe(true);
    process.kill(numberIn(pidFile));
  });
});
