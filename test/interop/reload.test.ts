import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { startSluice } from "../support/sluice.ts";
import { get, view } from "../support/viewer.ts";

/** Handlers change while viewers watch. */
describe("a changed configuration", () => {
  const rules = (reason: string): string => `export const allowed = (token: string): string => (token === "good" ? "" : "${reason}");\n`;
  const config = `import { allow, defineConfig, deny } from "sluice";
    import { allowed } from "./rules.ts";
    export default defineConfig({
      streams: { live: "push://" },
      triggers: {
        USER_NEW: ({ token }) => {
          const why = allowed(token);
          return why === "" ? allow() : deny(why, { denyFor: 0 });
        },
      },
    });`;

  it("is in force without a restart, also that of an imported module; who watches sees no gap; a broken file keeps the old", async () => {
    await using sluice = await startSluice({ config, files: { "rules.ts": rules("first rule") } });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await encoder.printed(/frame=/);
    using viewer = await view(sluice.http("live.flv?tkn=good"));
    expect(viewer.status).toBe(200);
    await viewer.atLeast(50_000);
    const refusal = async (): Promise<string> => (await get(sluice.http(`live.flv?tkn=bad${Math.random()}`))).text;
    expect(await refusal()).toContain("first rule");

    // A module that the configuration imports, replaced as editors do.
    writeFileSync(join(sluice.folder, "rules.ts.new"), rules("second rule"));
    renameSync(join(sluice.folder, "rules.ts.new"), join(sluice.folder, "rules.ts"));
    await sluice.child.printed(/was loaded again \(it changed\)/);
    expect(await refusal()).toContain("second rule");

    // A file that does not compile.
    writeFileSync(join(sluice.folder, "rules.ts"), "export const allowed = (token: string => ;\n");
    await sluice.child.printed(/sluice\.config\.ts cannot be loaded: .*the configuration that was in force stays/);
    expect(await refusal()).toContain("second rule");
    const status = await (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/triggers`)).json();
    expect(status).toMatchObject({
      configuration: { file: "sluice.config.ts", loads: 2, error: { message: expect.stringContaining("rules.ts") } },
    });

    // The configuration itself, and ports, which need a restart.
    writeFileSync(join(sluice.folder, "rules.ts"), rules("third rule"));
    await sluice.child.printed(/loaded again[^]*loaded again/);
    writeFileSync(
      join(sluice.folder, "sluice.config.ts"),
      config.replace("streams: {", "latency: 'low', data: 'elsewhere', streams: { other: 'push://',"),
    );
    await sluice.child.printed(/data changed; that counts from the next start on/);
    expect(await refusal()).toContain("third rule");
    expect(await sluice.api({ streams: true })).toMatchObject({ streams: { live: {}, other: {} } });

    // A file that is away for a moment, as with some editors, leaves nobody without handlers.
    renameSync(join(sluice.folder, "sluice.config.ts"), join(sluice.folder, "sluice.config.ts.old"));
    await sluice.child.printed(/the file is gone; the configuration that was in force stays/);
    expect(await refusal()).toContain("third rule");
    renameSync(join(sluice.folder, "sluice.config.ts.old"), join(sluice.folder, "sluice.config.ts"));

    sluice.child.process.kill("SIGHUP");
    await sluice.child.printed(/loaded again \(SIGHUP\)/);
    const received = viewer.received();
    await viewer.atLeast(received + 50_000);
    expect(viewer.longestGapMs()).toBeLessThan(2000);
    expect(sluice.child.process.exitCode).toBeNull();
  });

  it("lets a call that waits end in the old code, and sends the next one to the new", async () => {
    const slow = (words: string): string => `import { defineConfig, deny } from "sluice";
      import { existsSync } from "node:fs";
      import { setTimeout } from "node:timers/promises";
      export default defineConfig({
        streams: { live: "push://" },
        triggers: {
          USER_NEW: async () => {
            while (!existsSync(new URL("./go", import.meta.url))) await setTimeout(20);
            return deny("${words}");
          },
        },
      });`;
    await using sluice = await startSluice({ config: slow("old code") });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await encoder.printed(/frame=/);
    const waiting = get(sluice.http("live.flv?tkn=a"));
    const first = await stats();
    expect(first).toBe(1);
    writeFileSync(join(sluice.folder, "sluice.config.ts"), slow("new code"));
    await sluice.child.printed(/was loaded again/);
    const next = get(sluice.http("live.flv?tkn=b"));
    writeFileSync(join(sluice.folder, "go"), "");
    expect((await waiting).text).toContain("old code");
    expect((await next).text).toContain("new code");

    /** Resolves when the first call has begun. */
    async function stats(): Promise<number> {
      for (;;) {
        const answer = (await (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/triggers`)).json()) as {
          stats: Record<string, { count: number }>;
        };
        if (answer.stats["USER_NEW"]) return answer.stats["USER_NEW"].count;
      }
    }
  });
});
