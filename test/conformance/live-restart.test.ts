import { expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";

type Entry = { readonly name: string; readonly since: string };

async function list(sluice: Sluice): Promise<{ readonly tag: string | null; readonly streams: readonly Entry[] }> {
  const response = await fetch(sluice.http("live.json"));
  return { tag: response.headers.get("etag"), streams: ((await response.json()) as { streams: Entry[] }).streams };
}

async function publish(sluice: Sluice, ...names: readonly string[]) {
  const sockets = await Promise.all(names.map((name) => publishSample(sluice.ports.rtmp, name)));
  await expect.poll(async () => (await list(sluice)).streams.length, { timeout: 20_000 }).toBe(names.length);
  return sockets;
}

it("the list of what plays is exactly the same after kill -9 and after an orderly restart, once the publishers are back", async () => {
  const config = {
    streams: { live: { source: "push://", resume: true } },
    liveList: { viewers: true },
    policies: [{ use: "liveDirectory", order: "since", metadata: { live: { language: "en" } } }],
  };
  await using sluice = await startSluice({ config });
  await publish(sluice, "live+a");
  await expect.poll(async () => (await list(sluice)).streams.map(({ name }) => name)).toEqual(["live+a"]);
  const put = (body: object) => ({ method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const api = `http://127.0.0.1:${sluice.ports.api}/api/v1/listing`;
  expect((await fetch(`${api}/live+a`, put({ metadata: { title: "A" } }))).status).toBe(201);
  await publishSample(sluice.ports.rtmp, "live+b");
  await expect.poll(async () => (await list(sluice)).streams.map(({ name }) => name), { timeout: 20_000 }).toEqual(["live+b", "live+a"]);
  const before = await list(sluice);
  expect(before.streams).toMatchObject([
    { metadata: { language: "en" }, viewers: 0 },
    { metadata: { language: "en", title: "A" }, viewers: 0 },
  ]);

  await sluice.child.stop("SIGKILL");
  const killed = await sluice.again();
  expect((await list(killed)).streams).toEqual([]);
  // In the other order: what is shown is not what came first.
  const first = await publish(killed, "live+b", "live+a");
  await expect.poll(() => list(killed)).toEqual(before);

  await killed.child.stop();
  await using ended = await killed.again();
  expect((await list(ended)).streams).toEqual([]);
  const second = await publish(ended, "live+a", "live+b");
  await expect.poll(() => list(ended)).toEqual(before);
  for (const { socket } of [...first, ...second]) socket.destroy();
});
