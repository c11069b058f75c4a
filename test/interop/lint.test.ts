import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { root } from "../support/source-files.ts";

describe("sluice lint", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-lint-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const lint = async (files: Readonly<Record<string, string>>, ...args: readonly string[]) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    await using child = startChild(process.execPath, [join(root, "src/cli.ts"), "lint", ...args], { cwd: folder });
    return { code: await child.exited, out: child.stdout(), err: child.stderr() };
  };

  it("ends with 0 when nothing is found, and starts nothing", async () => {
    const config =
      'import { defineConfig, deny } from "sluice";\nexport default defineConfig({ triggers: { USER_NEW: () => deny("no") } });';
    expect(await lint({ "sluice.config.ts": config })).toEqual({ code: 0, out: "sluice.config.ts: 0 warnings, 0 notes\n", err: "" });
  });

  it("ends with 1 and names who fails open", async () => {
    const entry = { handler: "http://127.0.0.1:1/t", sync: true, default: "true" };
    const { code, out } = await lint(
      { "mist.json": JSON.stringify({ config: { triggers: { USER_NEW: [entry] } } }) },
      "--config",
      "mist.json",
    );
    expect(code).toBe(1);
    expect(out).toMatch(/^warning: config\.triggers\.USER_NEW\[0\]: USER_NEW fails open: when it fails, everybody is let in/m);
    expect(out).toMatch(/^mist\.json: 1 warning, 0 notes$/m);
  });

  it("ends with 2 when the configuration or a flag is wrong", async () => {
    const config = "export default { triggers: { USER_NEW: { handle: () => true } } };";
    const wrong = await lint({ "sluice.config.js": config });
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("sluice.config.js: triggers.USER_NEW.onFail is missing")]);
    expect((await lint({}, "--confg", "x")).code).toBe(2);
  });
});
