import { afterEach, describe, expect, it } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { startSluice } from "../support/sluice.ts";
import { get, view } from "../support/viewer.ts";

/** An operator's handler in a process of its own: says yes but to one user, and prints the URL of each question. */
const program = `
const [port, refused] = process.argv.slice(1);
require("node:http").createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    console.log("asked " + body.split("\\n")[4]);
    response.end(String(!body.includes("user=" + refused + "&")));
  });
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
`;

async function startHandler(port: number, refused: string): Promise<Child> {
  const child = startChild(process.execPath, ["-e", program, `${port}`, refused]);
  await child.printed(/listening/);
  return child;
}

describe("a handler that dies while viewers watch", () => {
  const children: Child[] = [];
  afterEach(async () => {
    for (const child of children.splice(0)) await child.stop().catch(() => undefined);
  });

  it("touches nobody who is in, refuses who is new, is left alone, and is asked again when it is back", async () => {
    const port = await freePort();
    const handler = await startHandler(port, "nobody");
    children.push(handler);
    await using sluice = await startSluice({
      config: {
        streams: { live: "push://" },
        triggers: {
          USER_NEW: [
            {
              handler: `http://127.0.0.1:${port}/`,
              sync: true,
              onFail: { open: "deny: closed for a moment", default: "deny: try again in a minute" },
              breaker: { failures: 3, pauseMs: 3000 },
            },
          ],
        },
      },
    });
    const watch = (user: string): string => sluice.http(`live.flv?user=${user}&tkn=${user}`);
    const encoder = startEncoder(sluice.rtmp("live/live"));
    children.push(encoder);
    await expect
      .poll(async () => (await get(sluice.http("json_live.js?user=ready&tkn=ready"))).text, { timeout: 20_000 })
      .toContain("H264");

    using anna = await view(watch("anna"));
    using carl = await view(watch("carl"));
    await Promise.all([anna.atLeast(20_000), carl.atLeast(20_000)]);

    await handler.stop("SIGKILL");
    const before = anna.received();
    await sluice.api({ invalidate_sessions: "live" });
    await anna.atLeast(before + 100_000);
    expect(anna.longestGapMs()).toBeLessThan(1000);

    const refused = await get(watch("new1"));
    expect([refused.status, refused.text]).toEqual([403, expect.stringMatching(/minute|moment/)]);
    await sluice.child.printed(/USER_NEW: the handler http:\/\/127\.0\.0\.1:\d+\/ is not asked for 3 s after 3 failures/);
    const started = performance.now();
    const closed = await get(watch("new2"));
    expect([closed.status, closed.text]).toEqual([403, expect.stringContaining("closed for a moment")]);
    expect(performance.now() - started).toBeLessThan(200);

    const again = await startHandler(port, "carl");
    children.push(again);
    await again.printed(/asked .*user=anna&/, 60_000);
    await carl.closed;
    await expect.poll(async () => (await get(sluice.http("json_live.js?user=new3&tkn=new3"))).status, { timeout: 30_000 }).toBe(200);
    await anna.atLeast(anna.received() + 50_000);
    expect(anna.longestGapMs()).toBeLessThan(1000);
    const log = `${sluice.child.stdout()}${sluice.child.stderr()}`;
    expect(log.match(/is not asked for 3 s/g)).toHaveLength(1);
    expect(log).toMatch(/answers again and is asked as before/);
  });
});
