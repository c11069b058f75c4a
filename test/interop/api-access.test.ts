import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { root } from "../support/source-files.ts";
import { startSluice } from "../support/sluice.ts";

it("docs/recipes/api-access.md: its commands make a token and an account that do what they say, over a restart too", async () => {
  const page = readFileSync(join(root, "docs/recipes/api-access.md"), "utf8");
  const script = /<!-- run by test\/interop\/api-access\.test\.ts -->\n```sh\n(.*?)```/s.exec(page)?.[1] ?? "";
  expect(script).toContain("api-token create");
  const folder = mkdtempSync(join(tmpdir(), "sluice-bin-"));
  try {
    writeFileSync(join(folder, "sluice"), `#!/bin/sh\nexec "${process.execPath}" "${join(root, "src/cli.ts")}" "$@"\n`);
    chmodSync(join(folder, "sluice"), 0o755);
    await using sluice = await startSluice();
    const home = `http://127.0.0.1:${sluice.ports.api}`;
    const env = { ...process.env, SLUICE_API: home, PATH: `${folder}:${process.env["PATH"]}` };
    await using shell = startChild("sh", ["-eu", "-c", `${script}\necho "token $TOKEN"`], { env });
    expect([await shell.exited, shell.stderr()]).toEqual([0, ""]);
    const printed = shell.stdout();
    expect(printed).toContain('"you":{"name":"monitoring","kind":"token","scope":"read"}');
    expect(printed).toContain('"code":"api.scope"');
    expect(printed).toContain('needs the scope \\"operate\\"');
    expect(printed).toContain("ops may operate now");
    expect(printed).toContain('{"sessions":0}');
    const token = /^token (sluice_\S+)$/m.exec(printed)?.[1] ?? "";
    expect(printed.split("token sluice_")[0]).not.toContain(token);

    // A server that was killed knows them again.
    await sluice.child.stop("SIGKILL");
    await using again = await sluice.again();
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${home}/api/v1/status`, { headers: { "X-Forwarded-For": "203.0.113.9", ...headers } })).status;
    const basic = (pair: string) => ({ Authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
    expect(again.ports.api).toBe(sluice.ports.api);
    expect(await status({})).toBe(401);
    expect(await status({ Authorization: `Bearer ${token}` })).toBe(200);
    expect(await status(basic("ops:correct horse battery staple"))).toBe(200);
    expect(await status(basic("ops:correct horse"))).toBe(401);
    expect(sluice.child.stderr() + again.child.stderr()).not.toMatch(/correct horse|sluice_[\w-]{43}/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
