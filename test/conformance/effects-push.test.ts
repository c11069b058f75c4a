import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TriggerName } from "../../src/triggers/table.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";

type Recorded = {
  readonly how: string;
  readonly asked: readonly { readonly body: string; readonly reply: { readonly status: number; readonly body: string } | null }[];
  readonly effect: { readonly push: { readonly url: string; readonly accepted: boolean; readonly names: readonly string[] } };
};
/** The name under which a push was accepted, or what the encoder was told. */
type Pushed = { readonly name: string } | { readonly refused: string; readonly code: number | string };

const asking = ["CONN_OPEN", "RTMP_PUSH_REWRITE", "PUSH_REWRITE", "STREAM_LOAD", "STREAM_READY", "STREAM_PUSH"] as const;
type Asking = (typeof asking)[number];
const read = (name: string): Readonly<Record<string, Recorded>> =>
  JSON.parse(readFileSync(new URL(`../fixtures/golden/effects/${name}.json`, import.meta.url), "utf8")) as Record<string, Recorded>;
const cases = asking
  .filter((trigger) => trigger !== "STREAM_LOAD")
  .flatMap((trigger) => Object.entries(read(trigger)).map(([name, recorded]) => ({ trigger, name, recorded })))
  .filter(({ name }) => name !== "handler-down-default-unset");

/** Where we do better than the recording: the name that is pushed to. */
const better: Readonly<Record<string, string>> = {
  // Values are trimmed. In MistServer the stream's name ends with a line break, in every later payload too.
  "PUSH_REWRITE-trailing-newline": "wild+nl",
  // The push goes on under the cleaned name. In MistServer it hangs, without error.
  "PUSH_REWRITE-uppercase-badchars": "wild+Ab C/é",
};

describe("encoders get what they got in the recordings", () => {
  let scene: MistScene;
  const folder = mkdtempSync(join(tmpdir(), "sluice-effects-"));

  beforeAll(async () => {
    scene = await startMistScene([...asking, "LIVE_TRACK_LIST", "STREAM_UNLOAD"], {
      streams: { live: { source: "push://" }, wild: { source: "push://" } },
    });
  }, 60_000);
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => scene.reset());

  /** Lets a real encoder push until the stream has tracks or the encoder gives up. */
  async function push(url: string): Promise<Pushed> {
    scene.mark();
    await using encoder = startEncoder(url.replace("127.0.0.1:1935", `127.0.0.1:${scene.sluice.ports.rtmp}`), { seconds: 20 });
    const before = new Set(scene.asked.calls);
    const fresh = { fits: (call: (typeof scene.asked.calls)[number]) => !before.has(call) };
    const pushed = await Promise.race([
      scene.asked.called("LIVE_TRACK_LIST", fresh.fits).then(({ lines }) => ({ name: lines[0] ?? "" })),
      encoder.exited.then((code) => ({ refused: encoder.stderr(), code })),
    ]);
    if (!("name" in pushed)) return pushed;
    const { active_streams: names } = await scene.sluice.api({ active_streams: true });
    expect(names).toContain(pushed.name);
    await encoder.stop("SIGINT");
    await scene.asked.called("STREAM_UNLOAD", fresh.fits);
    return pushed;
  }

  const bodies = (name: TriggerName): string[] =>
    scene.since(name).map(({ body }) => body.replaceAll(`127.0.0.1:${scene.sluice.ports.rtmp}`, "127.0.0.1:1935"));

  it.each(cases)("$trigger-$name: $recorded.how", async ({ trigger, name, recorded }) => {
    const { asked, effect } = recorded;
    const reply = asked[0]?.reply;
    if (reply) scene.says[trigger as Asking] = () => reply;
    const pushed = await push(effect.push.url);
    // CONN_OPEN-deny was recorded with an HTTP viewer beside the push (effects-viewers).
    const own = asked.map(({ body }) => body).filter((body) => !body.includes("HTTP"));
    const [recordedCall] = own;
    expect(bodies(trigger)[0]).toBe(recordedCall);
    const expected = better[`${trigger}-${name}`] ?? effect.push.names[0];
    if (expected === undefined) {
      // The encoder is told, and ends at once. MistServer closes the connection without a word, or (STREAM_READY) not even that.
      expect(pushed).toHaveProperty("refused");
      expect("refused" in pushed && pushed.refused).toMatch(/not allowed|no stream of this name/);
      expect("code" in pushed && pushed.code).not.toBe(0);
      expect(scene.since("LIVE_TRACK_LIST")).toEqual([]);
    } else expect(pushed).toEqual({ name: expected });
  });

  it("RTMP_PUSH_REWRITE-rename: PUSH_REWRITE is asked about the new URL, as recorded", async () => {
    scene.says.RTMP_PUSH_REWRITE = () => "rtmp://127.0.0.1:1935/live/wild+rt";
    expect(await push("rtmp://127.0.0.1:1935/live/live")).toEqual({ name: "wild+rt" });
    expect(scene.since("PUSH_REWRITE")[0]?.body).toBe("rtmp://127.0.0.1:1935/live/wild+rt\n127.0.0.1\nwild+rt");
  });

  it("PUSH_REWRITE-handler-down-default-unset: the name stays (MistServer: it becomes the word true, and the push fails)", async () => {
    await scene.configure(scene.table({ PUSH_REWRITE: [{ handler: `http://127.0.0.1:${await freePort()}/`, sync: true }] }));
    expect(await push("rtmp://127.0.0.1:1935/live/live")).toEqual({ name: "live" });
  });

  it("PUSH_REWRITE with a whole URL: its last part is the name (MistServer squeezes the URL into a name that nobody knows)", async () => {
    scene.says.PUSH_REWRITE = () => "rtmp://127.0.0.1:1935/live/wild+viaurl";
    expect(await push("rtmp://127.0.0.1:1935/live/live")).toEqual({ name: "wild+viaurl" });
  });

  it("STREAM_LOAD no: the push is refused", async () => {
    scene.says.STREAM_LOAD = () => "false";
    expect(await push("rtmp://127.0.0.1:1935/live/live")).toHaveProperty("refused");
    expect([bodies("STREAM_READY"), bodies("STREAM_PUSH")]).toEqual([[], []]);
  });

  it("PUSH_REWRITE- and STREAM_PUSH-exec-handler: what they print is the answer", async () => {
    const script = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, `#!/bin/sh\n${text}\n`);
      chmodSync(path, 0o755);
      return path;
    };
    // The third line of the payload is the name; there is no line break after it.
    const rename = script("push-rewrite.sh", `read -r url; read -r host; name=$(cat); echo "wild+$1-$name"`);
    const told = join(folder, "told");
    const note = script("stream-push.sh", `cat > ${told}; echo true`);
    await scene.configure(
      scene.table({ PUSH_REWRITE: [{ handler: rename, sync: true }], STREAM_PUSH: [{ handler: note, sync: true }], RTMP_PUSH_REWRITE: [] }),
    );
    expect(await push("rtmp://127.0.0.1:1935/live/live")).toEqual({ name: "wild+PUSH_REWRITE-live" });
    const { rtmp } = scene.sluice.ports;
    expect(readFileSync(told, "utf8")).toBe(`wild+PUSH_REWRITE-live\n127.0.0.1\nRTMP\nrtmp://127.0.0.1:${rtmp}/live/live`);
  });
});
