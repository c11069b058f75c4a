import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { startChild } from "../support/child.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";

const page = readFileSync(join(root, "docs/recipes/live-directory.md"), "utf8");
const block = (language: string): string => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(page)?.[1] ?? "";
const commands = block("sh").replaceAll("\\\n", "").trim().split("\n");

type Entry = { readonly name: string; readonly since: string; readonly metadata?: Record<string, unknown> };

async function list(sluice: Sluice): Promise<readonly Entry[]> {
  return ((await (await fetch(sluice.http("live.json"))).json()) as { streams: Entry[] }).streams;
}

async function names(sluice: Sluice): Promise<string> {
  return (await list(sluice)).map(({ name }) => name).join(" ");
}

/** Pushes, and waits until the list is as it should be. */
async function publish(sluice: Sluice, name: string, listed: string) {
  const publisher = await publishSample(sluice.ports.rtmp, name);
  await expect.poll(() => names(sluice), { timeout: 20_000 }).toBe(listed);
  return publisher;
}

/** One line of the recipe, at the server's own address. */
async function run(sluice: Sluice, command: string): Promise<string> {
  const text = command.replaceAll("http://localhost:4242", `http://127.0.0.1:${sluice.ports.api}`);
  await using child = startChild("sh", ["-c", text.replace("curl", "curl -sSf")], {});
  expect(await child.exited, child.stderr()).toBe(0);
  return child.stdout();
}

/** The recipe as it is printed; the addresses of the server aside. */
describe("the recipe of a directory of live streams", () => {
  it("lists with titles, newest first, without what is hidden; tells a page each change; is the same after kill -9", async () => {
    await using sluice = await startSluice({ config: block("ts") });
    const html = block("html").replaceAll("http://localhost:8080/", sluice.http(""));
    const site = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(html));
    await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
    await using browser = await startBrowser();
    try {
      const tab = await browser.newPage();
      await tab.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
      const shows = (...titles: string[]) =>
        pageUntil(tab, `[...document.querySelectorAll("li")].map((li) => li.textContent).join() === ${JSON.stringify(titles.join())}`);
      const pushes = [
        await publish(sluice, "live+final", "live+final"),
        await publish(sluice, "live+talk", "live+talk live+final"),
        await publish(sluice, "live+test", "live+talk live+final"),
        await publish(sluice, "rehearsal", "live+talk live+final"),
      ];
      await expect
        .poll(async () => JSON.stringify(await sluice.api({ active_streams: ["status"] })), { timeout: 20_000 })
        .toMatch(/live\+test":\["Online.*rehearsal":\["Online/);
      await shows("live+talk", "The final");

      const [title = "", hide = "", shown = "", unhide = ""] = commands;
      expect(JSON.parse(await run(sluice, title))).toMatchObject({ name: "live+final" });
      await shows("live+talk", "The final, second half");
      await run(sluice, hide);
      await shows("The final, second half");
      const before = await list(sluice);
      expect(before).toMatchObject([
        { name: "live+final", metadata: { title: "The final, second half", poster: "https://site.example/final.jpg" }, viewers: 0 },
      ]);
      await sluice.child.stop("SIGKILL");

      await using again = await sluice.again();
      expect(await list(again)).toEqual([]);
      const back = [await publish(again, "live+final", "live+final"), await publish(again, "live+talk", "live+final")];
      const expected = before.map(({ since: _since, ...entry }) => entry);
      await expect.poll(async () => (await list(again)).map(({ since: _since, ...entry }) => entry)).toEqual(expected);
      expect(Date.parse((await list(again))[0]?.since ?? "")).toBeGreaterThan(Date.parse(before[0]?.since ?? ""));
      // The page has come back by itself.
      await shows("The final, second half");
      expect((JSON.parse(await run(again, shown)) as { items: Entry[] }).items.map(({ name }) => name)).toEqual([
        "live+final",
        "live+talk",
      ]);
      await run(again, unhide);
      await shows("live+talk", "The final, second half");
      back[0]?.socket.destroy();
      await shows("live+talk");
      for (const { socket } of [...pushes, ...back]) socket.destroy();
    } finally {
      site.closeAllConnections();
      site.close();
    }
  });

  it("is in force from JSON: most viewers first, metadata by pattern, hidden by tag", async () => {
    const config = JSON.parse(block("json")) as Record<string, unknown>;
    await using sluice = await startSluice({ config });
    const final = await publish(sluice, "live+final", "live+final");
    const talk = await publish(sluice, "live+talk", "live+final live+talk");
    expect(await list(sluice)).toMatchObject([
      { name: "live+final", metadata: { language: "en", title: "The final" } },
      { name: "live+talk", metadata: { language: "en" } },
    ]);
    const abort = new AbortController();
    const viewer = await fetch(sluice.http("live+talk.flv"), { signal: abort.signal });
    expect(viewer.status).toBe(200);
    await expect.poll(() => names(sluice), { timeout: 10_000 }).toBe("live+talk live+final");
    abort.abort();
    const tagged = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/streams/live+talk/tags`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: '{"tags":["private"]}',
    });
    expect(tagged.status).toBe(200);
    await expect.poll(() => names(sluice), { timeout: 10_000 }).toBe("live+final");
    final.socket.destroy();
    talk.socket.destroy();
  });
});
