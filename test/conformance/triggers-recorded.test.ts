import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { protocols } from "../../src/protocols.ts";
import { type TriggerName, triggers } from "../../src/triggers/table.ts";
import { startMistScene } from "../support/mist-scene.ts";
import { publishSample } from "../support/rtmp-publisher.ts";

/** A feature that is not there yet, by what shows that: the row is wrong on the day on which it is. */
type Feature = "SRT" | "pushes out" | "recordings";
const missing: Readonly<Record<Feature, () => boolean>> = {
  SRT: () => protocols.every(({ name }) => name !== "srt"),
  "pushes out": () => !triggers.PUSH_OUT_START.fired && !triggers.PUSH_END.fired,
  recordings: () => !triggers.RECORDING_END.fired,
};

const cases = (trigger: string, names: string): string[] => names.split(" ").map((name) => `${trigger}-${name}`);

/** Every recorded case of triggers: the test that provokes it on a running server, by file and title, or what it waits for. */
const shown: readonly (readonly [names: readonly string[], proof: string | { readonly waitsFor: Feature }])[] = [
  [cases("CONN_PLAY", "default empty"), "effects-viewers: $trigger-$name"],
  [cases("PLAY_REWRITE", "default empty rewrite rewrite-configured-to-other text-true"), "effects-viewers: $trigger-$name"],
  [cases("DEFAULT_STREAM", "empty offline-push-stream redirect self text-true vod"), "effects-viewers: $trigger-$name"],
  [["STREAM_LOAD-deny"], "effects-viewers: $trigger-$name"],
  [cases("USER_NEW", "true empty-body slow-3s slow-8s"), "effects-viewers: USER_NEW-%s"],
  [cases("USER_NEW", "false false-retry-same-token"), "effects-viewers: USER_NEW-false, and again with the same tokens"],
  [["USER_NEW-boolean-parsing"], "effects-viewers: USER_NEW-boolean-parsing"],
  [cases("USER_NEW", "down-default-false down-default-unset"), "effects-viewers: USER_NEW-%s: no handler listens"],
  [["USER_NEW-array-config-form"], "effects-viewers: USER_NEW-array-config-form"],
  [["USER_NEW-async-false"], "effects-viewers: USER_NEW-async-false"],
  [["USER_NEW-stream-filter-other"], "effects-viewers: USER_NEW-stream-filter-other"],
  [["USER_NEW-two-handlers-false"], "effects-viewers: USER_NEW-two-handlers-false"],
  [["USER_NEW-exec-handler"], "effects-viewers: USER_NEW-exec-handler"],
  [["USER_NEW-invalidate-recheck-false"], "effects-viewers: USER_NEW-invalidate-recheck-false"],
  [["CONN_OPEN-deny"], "effects-viewers: CONN_OPEN-deny"],
  [cases("PUSH_REWRITE", "default empty false-text rename trailing-newline uppercase-badchars"), "effects-push: $trigger-$name"],
  [["PUSH_REWRITE-handler-down-default-unset"], "effects-push: PUSH_REWRITE-handler-down-default-unset"],
  [cases("RTMP_PUSH_REWRITE", "default empty rename"), "effects-push: $trigger-$name"],
  [["STREAM_PUSH-default", "STREAM_PUSH-deny", "STREAM_READY-deny"], "effects-push: $trigger-$name"],
  [["PUSH_REWRITE-exec-handler", "STREAM_PUSH-exec-handler"], "effects-push: PUSH_REWRITE- and STREAM_PUSH-exec-handler"],
  [cases("CONN_OPEN", "hls http-flv-viewer rtmp-push"), "stream-life: CONN_OPEN has the recorded lines"],
  [["CONN_CLOSE-all"], "stream-life: CONN_CLOSE has the recorded lines"],
  [["CONN_PLAY-all", "USER_NEW-life", "STREAM_LOAD-push", "STREAM_SOURCE-push"], "stream-life: %s has the recorded lines"],
  [["STREAM_READY-buffer", "STREAM_UNLOAD-push-end"], "stream-life: %s has the recorded lines"],
  [["PLAY_REWRITE-default-reply-same-name"], "stream-life: PLAY_REWRITE has the recorded lines"],
  [["STREAM_BUFFER-sequence", "LIVE_TRACK_LIST-sequence"], "stream-life: STREAM_BUFFER is FULL with the health and EMPTY without"],
  [cases("USER_END", "flv hls life"), "stream-life: USER_END has the recorded lines"],
  [["STREAM_END-all"], "stream-life: STREAM_END tells"],
  [["SYSTEM_START-boot"], "stream-life: SYSTEM_START tells the version"],
  [["_timeline-live-stream-life"], "stream-life: all in the recorded order"],
  [["OUTPUT_END-all"], "outputs-inputs: leaves: the recorded lines, after CONN_CLOSE"],
  [["INPUT_ABORT-bad", "INPUT_ABORT-missing"], "outputs-inputs: asked for over $how: the recorded lines"],
  [["LIVE_BANDWIDTH-sequence"], "outputs-inputs: tells each change of the rate"],
  [["STREAM_BUFFER-dry-recover", "STREAM_BUFFER-states-live"], "outputs-inputs: FULL, DRY while the encoder is frozen, RECOVER, EMPTY"],
  [["SYSTEM_STOP-accept"], "outputs-inputs: a yes ends it in order, once"],
  [["OUTPUT_START-boot"], "stream-configuration: OUTPUT_START: one for each port"],
  [["OUTPUT_STOP-deleteprotocol"], "stream-configuration: OUTPUT_START and OUTPUT_STOP"],
  [["STREAM_ADD-accept", "STREAM_ADD-deny"], "stream-configuration: STREAM_ADD: yes adds, no leaves it out"],
  [["STREAM_CONFIG-accept", "STREAM_CONFIG-deny"], "stream-configuration: STREAM_CONFIG: yes replaces"],
  [["STREAM_REMOVE-accept", "STREAM_REMOVE-deny"], "stream-configuration: STREAM_REMOVE: no keeps"],
  [["STREAM_LOAD-vod", "STREAM_READY-vod", "STREAM_UNLOAD-vod-idle"], "triggers-protocols: of a recording: it is loaded, and unloaded"],
  [["STREAM_LOAD-wildcard"], "triggers-recorded: STREAM_LOAD-wildcard"],
  [["STREAM_BUFFER-exec-handler", "SYSTEM_START-exec-handler"], "triggers-recorded: STREAM_BUFFER- and SYSTEM_START-exec-handler"],
  [["CONN_OPEN-srt", "STREAM_PUSH-srt", "PUSH_REWRITE-srt", "PUSH_REWRITE-srt-empty"], { waitsFor: "SRT" }],
  [["USER_NEW-srt", "USER_NEW-srt-false"], { waitsFor: "SRT" }],
  [["CONN_OPEN-push-out", "PUSH_END-file-and-rtmp"], { waitsFor: "pushes out" }],
  [cases("PUSH_OUT_START", "deny-empty file-and-rtmp"), { waitsFor: "pushes out" }],
  [["RECORDING_END-file"], { waitsFor: "recordings" }],
];

describe("each recorded case of a trigger", () => {
  const golden = new URL("../fixtures/golden/", import.meta.url);
  const read = (folder: string): [name: string, content: Record<string, unknown>][] =>
    readdirSync(new URL(folder, golden))
      .filter((file) => file !== "capabilities.json")
      .map((file) => [
        file.replace(".json", ""),
        JSON.parse(readFileSync(new URL(folder + file, golden), "utf8")) as Record<string, unknown>,
      ]);
  const named = new Set(shown.flatMap(([names]) => names));

  it("is in the list", () => {
    const calls = read("triggers/").flatMap(([name, content]) =>
      Object.values(content).flatMap((list) => (list as { case: string }[]).map((one) => `${name}-${one.case}`)),
    );
    const effects = read("effects/").flatMap(([name, content]) => cases(name, Object.keys(content).join(" ")));
    expect(calls.length).toBeGreaterThan(100);
    expect([...calls, ...effects].filter((name) => !named.has(name))).toEqual([]);
    expect(shown.flatMap(([names]) => names)).toHaveLength(named.size);
  });

  it.each(shown)("%j: is provoked on a running server, or waits for a feature", (names, proof) => {
    if (typeof proof !== "string") {
      expect(missing[proof.waitsFor](), `${proof.waitsFor} is there: ${names.join(", ")} can be provoked`).toBe(true);
      return;
    }
    const [file, ...words] = proof.split(": ");
    const path = new URL(`${file}.test.ts`, import.meta.url);
    expect(existsSync(path)).toBe(true);
    expect(readFileSync(path, "utf8")).toMatch(new RegExp(`it(\\.each[^]{0,400})?\\("[^"]*${RegExp.escape(words.join(": "))}`));
    // Tests that take all recorded effects of a trigger have this one among them.
    if (!proof.endsWith("$trigger-$name")) return;
    for (const name of names) {
      const trigger = name.slice(0, name.indexOf("-"));
      expect(Object.keys(Object.fromEntries(read("effects/"))[trigger] ?? {})).toContain(name.slice(trigger.length + 1));
      expect(readFileSync(path, "utf8")).toContain(`"${trigger}"`);
    }
  });
});

describe("recorded cases that no other test provokes", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-recorded-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  /** An executable that adds its argument and input to a file. */
  const noting = (name: string, answer = ""): { readonly handler: string; readonly said: () => string } => {
    const [handler, notes] = [join(folder, `${name}.sh`), join(folder, `${name}.txt`)];
    writeFileSync(handler, `#!/bin/sh\n{ echo "$1"; cat; echo; } >> ${notes}\necho ${answer}\n`);
    chmodSync(handler, 0o755);
    return { handler, said: () => (existsSync(notes) ? readFileSync(notes, "utf8") : "") };
  };
  const live = { streams: { live: { source: "push://" }, wild: { source: "push://" } } };

  it("STREAM_LOAD-wildcard: the name is whole, and so it is in what comes after", async () => {
    const names = ["STREAM_LOAD", "STREAM_SOURCE", "STREAM_READY", "STREAM_BUFFER"] as const satisfies readonly TriggerName[];
    await using scene = await startMistScene(names, live);
    await using publisher = await publishSample(scene.sluice.ports.rtmp, "wild+copy");
    await scene.asked.called("STREAM_BUFFER", ({ lines }) => lines[0] === "wild+copy" && lines[1] === "FULL");
    expect(scene.asked.of("STREAM_LOAD").map(({ body }) => body)).toEqual(["wild+copy"]);
    expect(scene.asked.of("STREAM_SOURCE").map(({ body }) => body)).toEqual(["wild+copy"]);
    expect(scene.asked.of("STREAM_READY").map(({ lines }) => lines[0])).toEqual(["wild+copy"]);
    publisher.socket.end();
  });

  it("STREAM_BUFFER- and SYSTEM_START-exec-handler: get name and lines; what the first prints counts for nothing", async () => {
    const [start, buffer] = [noting("start", "true"), noting("buffer", "false")];
    await using scene = await startMistScene([], live);
    expect(start.said()).toBe("");
    await scene.configure({ SYSTEM_START: [{ handler: start.handler, sync: true }], STREAM_BUFFER: [{ handler: buffer.handler }] });
    await using publisher = await publishSample(scene.sluice.ports.rtmp, "live");
    await expect.poll(buffer.said, { timeout: 20_000 }).toMatch(/^STREAM_BUFFER\nlive\nFULL\n\{.*\}\n/);
    expect((await scene.sluice.api({ active_streams: true }))["active_streams"]).toEqual(["live"]);
    publisher.socket.end();
    await expect.poll(buffer.said, { timeout: 20_000 }).toMatch(/\nSTREAM_BUFFER\nlive\nEMPTY\n$/);
    await scene.sluice.child.stop("SIGTERM");
    await using again = await scene.sluice.again();
    expect(start.said()).toMatch(/^SYSTEM_START\n\d+\.\d+\.\d+.*\n$/);
    expect(again.child.process.exitCode).toBeNull();
  });
});
