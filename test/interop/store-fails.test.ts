import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { view } from "../support/viewer.ts";

/** Largest file that the process may write; the kernel refuses more, as a full disk does. */
function limitFiles(pid: number | undefined, bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`]);
}

const count = (text: string, pattern: RegExp): number => text.match(new RegExp(pattern, "g"))?.length ?? 0;

/** A way in which the disk refuses to be written, and its end. `data` is the server's folder for what must survive. */
type Failure = {
  readonly name: string;
  readonly words: string;
  readonly data: (folder: string) => string;
  readonly begin: (sluice: Sluice, data: string) => void;
  readonly end: (sluice: Sluice, data: string) => void;
  readonly clean: (data: string) => void;
};

const tooLarge: Failure = {
  name: "no file may grow",
  words: "disk I/O error",
  data: (folder) => join(folder, "data"),
  begin: (sluice) => limitFiles(sluice.child.process.pid, 1),
  end: (sluice) => limitFiles(sluice.child.process.pid, "unlimited"),
  clean: () => undefined,
};

/** A small disk of its own, which another file fills to its last byte. */
const full: Failure = {
  name: "the disk is full",
  words: "database or disk is full",
  data(folder) {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=700", "sluice-test", folder]);
    return folder;
  },
  begin: (_sluice, data) => void spawnSync("dd", ["if=/dev/zero", `of=${join(data, "other")}`, "bs=4096"], { stdio: "ignore" }),
  end: (_sluice, data) => rmSync(join(data, "other")),
  clean: (data) => void execFileSync("umount", [data]),
};

/** Who may not mount a disk cannot fill one up without filling up everybody's. */
function mayMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "sluice-mount-"));
  try {
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "sluice-test", folder]).status !== 0) return false;
    return spawnSync("umount", [folder]).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Only Linux can limit a process that runs already (prlimit).
describe.skipIf(process.platform !== "linux")("a store that refuses writing", () => {
  it("stops nobody from playing, is told of once, and loses nothing when it works again: no file may grow", () => survives(tooLarge));

  it.skipIf(!mayMount())(
    "stops nobody from playing, is told of once, and loses nothing: a full disk (skipped where none may be mounted)",
    () => survives(full),
  );
});

async function survives({ words, data: dataIn, begin, end: mend, clean }: Failure): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-disk-"));
  const data = dataIn(folder);
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => {
    clean(data);
    rmSync(folder, { recursive: true, force: true });
  });
  await using handler = await startTriggerServer(() => "true");
  const triggers = {
    USER_NEW: [{ handler: handler.url, sync: true }],
    USER_END: [{ handler: handler.url, delivery: "reliable" }],
    STREAM_BUFFER: [{ handler: handler.url, delivery: "reliable" }],
  };
  await using sluice = await startSluice({
    config: { config: { triggers }, streams: { live: { source: "push://" } } },
    flags: ["--data", data],
  });
  await using encoder = startEncoder(sluice.rtmp("live/live"));
  await Promise.race([handler.called("STREAM_BUFFER"), encoder.exited]);
  using before = await view(sluice.http("live.flv?tkn=before"));
  await before.atLeast(1);

  begin(sluice, data);
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
  expect(count(sluice.child.stderr(), new RegExp(`Notifications cannot be kept \\(${words}\\)`))).toBe(1);
  expect(count(sluice.child.stderr(), new RegExp(`Sessions cannot be written to the store \\(${words}\\)`))).toBe(1);

  mend(sluice, data);
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
}

it("a second server on the same data says who has them and ends with 2; the first one goes on", async () => {
  await using sluice = await startSluice({ config: { streams: { live: { source: "push://" } } } });
  const flags = ["--host", "127.0.0.1", "--rtmp-port", "0", "--http-port", "0", "--api-port", "0"];
  const second = startChild(process.execPath, [join(root, "src/cli.ts"), ...flags], { cwd: sluice.folder });
  expect(await second.exited).toBe(2);
  expect(second.stderr()).toMatch(/sluice\.db cannot be opened: another Sluice has it open; choose another directory with --data/);
  const exporting = startChild(process.execPath, [join(root, "src/cli.ts"), "export", "backup.json"], { cwd: sluice.folder });
  expect(await exporting.exited).toBe(2);
  expect(exporting.stderr()).toMatch(/another Sluice has it open/);
  await sluice.api({ addstream: { extra: { source: "push://" } } });
  await sluice.child.stop("SIGKILL");
  await using again = await sluice.again();
  expect(await again.api({ streams: true })).toMatchObject({ streams: { extra: { source: "push://" } } });
});

it("a file that is damaged stops nobody from playing; the next start says what to do about it", async () => {
  await using handler = await startTriggerServer(() => "true");
  const triggers = { USER_END: [{ handler: handler.url, delivery: "reliable" }] };
  await using sluice = await startSluice({ config: { config: { triggers }, streams: { live: { source: "push://" } } } });
  await using encoder = startEncoder(sluice.rtmp("live/live"));
  await Promise.race([
    expect.poll(async () => JSON.stringify(await sluice.api({ active_streams: true })), { timeout: 20_000 }).toContain("live"),
    encoder.exited,
  ]);
  using viewer = await view(sluice.http("live.flv?tkn=before"));
  await viewer.atLeast(20_000);
  for (const name of ["sluice.db", "sluice.db-wal"]) {
    const file = join(sluice.folder, "data", name);
    const open = openSync(file, "r+");
    writeSync(open, Buffer.alloc(statSync(file).size, "nonsense "));
    closeSync(open);
  }
  const received = viewer.received();
  using other = await view(sluice.http("live.flv?tkn=during"));
  await Promise.all([viewer.atLeast(received + 50_000), other.atLeast(20_000)]);
  viewer[Symbol.dispose]();
  await handler.called("USER_END", ({ lines }) => lines[0] === "before");
  expect(count(sluice.child.stderr(), /Notifications cannot be kept/)).toBeLessThanOrEqual(1);
  await sluice.child.stop("SIGKILL");
  const again = startChild(process.execPath, [join(root, "src/cli.ts")], { cwd: sluice.folder });
  expect(await again.exited).toBe(2);
  expect(again.stderr()).toMatch(/sluice\.db cannot be opened: it is damaged \(.+\); put a backup in its place, or move it/);
});
