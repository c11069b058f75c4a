import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messageType } from "../../src/protocols/rtmp/wire/message.ts";
import { type Child, startChild } from "../support/child.ts";
import { freePort } from "../support/free-port.ts";
import { RtmpClient } from "../support/rtmp-client.ts";
import { seeded } from "../support/seeded.ts";
import { root } from "../support/source-files.ts";
import { startTriggerServer, type TriggerCall, type TriggerServer } from "../support/trigger-server.ts";
import { type HttpViewer, view } from "../support/viewer.ts";

/** Fewer for a quick look. */
const kills = Number(process.env["SLUICE_TEST_KILLS"] ?? 50);
const seed = Number(process.env["SLUICE_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const chance = seeded(seed);
const tokens = ["ann", "ben", "cem", "dot", "eve", "fay"];

/** Lines of the payloads. */
const line = { sessionOfNew: 5, tagsOfEnd: 7, sessionOfEnd: 11 } as const;

/** What the handler saw of one session, in order: a start, or the first time that an end was taken. */
type Seen = { readonly kind: "start" | "end"; readonly uuid: string; readonly tags: string };

/** A publisher that sends sound as long as the connection lasts. */
async function publish(port: number): Promise<RtmpClient> {
  const client = new RtmpClient(port);
  client.connect();
  client.command("createStream", null);
  client.command("publish", null, "live", "live");
  await client.status("NetStream.Publish.Start");
  const send = (timestamp: number, ...payload: number[]): void =>
    client.send({ type: messageType.audio, timestamp, payload: Uint8Array.from(payload) });
  send(0, 0xaf, 0, 0x12, 0x10);
  let time = 0;
  const timer = setInterval(() => send((time += 23), 0xaf, 1, 0x21, 0x10, 0x04), 23);
  client.socket.once("close", () => clearInterval(timer));
  return client;
}

describe(`each session has exactly one end, over ${kills} kills (SLUICE_TEST_SEED=${seed})`, () => {
  let folder: string;
  let handler: TriggerServer;
  let ports: { readonly rtmp: number; readonly http: number; readonly api: number };
  let child: Child | undefined;
  const viewers = new Map<string, HttpViewer>();
  const taken = new WeakSet<TriggerCall>();
  let letIn = 0;
  let wake = (): void => {};

  function launch(): Child {
    const numbers = ["--rtmp-port", `${ports.rtmp}`, "--http-port", `${ports.http}`, "--api-port", `${ports.api}`];
    return startChild(process.execPath, [join(root, "src/cli.ts"), "--host", "127.0.0.1", ...numbers], { cwd: folder });
  }

  function leave(token: string): void {
    viewers.get(token)?.[Symbol.dispose]();
    viewers.delete(token);
  }

  /** Opens, closes or ends the session of one viewer; failures are those of a server that was killed. */
  async function stir(): Promise<void> {
    const token = chance.pick(tokens);
    if (chance.next() < 0.6) {
      leave(token);
      const viewer = await view(`http://127.0.0.1:${ports.http}/live.flv?tkn=${token}`);
      if (viewer.status !== 200) return viewer[Symbol.dispose]();
      viewers.set(token, viewer);
      await viewer.atLeast(1, 2000);
      letIn++;
    } else if (chance.next() < 0.5) leave(token);
    else {
      const known = handler.of("USER_NEW").findLast(({ lines }) => lines[2] === token);
      const body = JSON.stringify({ stop_sessid: known?.lines[line.sessionOfNew] ?? "none" });
      await fetch(`http://127.0.0.1:${ports.api}/api2`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    }
  }

  /** What the handler saw, for each session; throws where an end comes again in another form, or after its successor's start. */
  function seen(): Map<string, Seen[]> {
    const sessions = new Map<string, Seen[]>();
    const ends = new Map<string, TriggerCall>();
    for (const call of handler.calls) {
      if (call.name !== "USER_NEW" && call.name !== "USER_END") continue;
      const uuid = String(call.headers["x-trigger-uuid"]);
      const id = call.lines[call.name === "USER_NEW" ? line.sessionOfNew : line.sessionOfEnd] ?? "";
      const events = sessions.get(id) ?? [];
      sessions.set(id, events);
      if (call.name === "USER_NEW") {
        events.push({ kind: "start", uuid, tags: "" });
        continue;
      }
      const before = ends.get(uuid);
      ends.set(uuid, call);
      if (before) {
        if (before.body !== call.body) throw new Error(`seed ${seed}: ${uuid} came again with another text`);
        if (events.at(-1)?.uuid !== uuid && events.some((event) => event.uuid === uuid))
          throw new Error(`seed ${seed}: an end came again after the start of its successor`);
      }
      if (taken.has(call) && !events.some((event) => event.uuid === uuid))
        events.push({ kind: "end", uuid, tags: call.lines[line.tagsOfEnd] ?? "" });
    }
    return sessions;
  }

  const unended = (): string[] => [...seen()].filter(([, events]) => events.at(-1)?.kind === "start").map(([id]) => id);

  beforeAll(async () => {
    handler = await startTriggerServer(async (call) => {
      if (call.name !== "USER_END") return "true";
      // Twice at most: nobody waits for the end of a session whose handler is down.
      const before = handler.calls.filter(({ headers }) => headers["x-trigger-uuid"] === call.headers["x-trigger-uuid"]).length;
      const fails = before < 3 && chance.next() < 0.1;
      await pause(chance.below(20));
      if (fails) return { status: 500, body: "" };
      taken.add(call);
      wake();
      return "";
    });
    folder = mkdtempSync(join(tmpdir(), "sluice-kills-"));
    ports = { rtmp: await freePort(), http: await freePort(), api: await freePort() };
    const triggers = {
      USER_NEW: [{ handler: handler.url, sync: true }],
      USER_END: [{ handler: handler.url, delivery: "reliable" }],
    };
    writeFileSync(join(folder, "sluice.config.json"), JSON.stringify({ config: { triggers }, streams: { live: { source: "push://" } } }));
  });

  afterAll(async () => {
    await child?.stop("SIGKILL");
    await handler?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it("counts at the handler", { timeout: 240_000 }, async () => {
    for (let round = 0; round < kills; round++) {
      child = launch();
      const early = chance.next() < 0.15;
      if (early) await pause(250 + chance.below(400));
      else {
        await child.printed(/ready/i);
        const until = performance.now() + chance.below(900);
        await using publisher = await publish(ports.rtmp);
        const stirring: Promise<unknown>[] = [publisher.closed];
        while (performance.now() < until) {
          stirring.push(stir().catch(() => undefined));
          await pause(5 + chance.below(60));
        }
        child.process.kill("SIGKILL");
        for (const token of tokens) leave(token);
        await Promise.all(stirring);
      }
      await child.stop("SIGKILL");
    }
    child = launch();
    await child.printed(/ready/i);
    const late = AbortSignal.timeout(20_000);
    late.addEventListener("abort", () => wake());
    while (unended().length > 0 && !late.aborted) await new Promise<void>((resolve) => (wake = resolve));
    expect(await child.stop("SIGTERM"), child.stderr()).toBe(0);

    const sessions = [...seen()];
    const wrong = sessions.filter(([, events]) =>
      events.some(({ kind, tags }, index) => {
        const before = events[index - 1]?.kind;
        if (kind === "start") return before === "start";
        return before !== "start" && !tags.includes("[unanswered]");
      }),
    );
    expect(wrong, `SLUICE_TEST_SEED=${seed}`).toEqual([]);
    expect(unended(), `SLUICE_TEST_SEED=${seed}`).toEqual([]);
    const ends = sessions.flatMap(([, events]) => events.filter(({ kind }) => kind === "end"));
    const madeUp = ends.filter(({ tags }) => tags.includes("[server-restart]"));
    // Chance would have to be very strange for less.
    expect(letIn, `SLUICE_TEST_SEED=${seed}`).toBeGreaterThan(kills);
    expect(madeUp.length).toBeGreaterThan(kills / 2);
    expect(ends.length - madeUp.length).toBeGreaterThan(kills / 5);
    expect(handler.of("USER_END").length).toBeGreaterThan(ends.length);
  });
});
