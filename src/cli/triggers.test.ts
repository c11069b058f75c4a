import { spawn } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../test/support/api-server.ts";
import { push, viewer } from "../../test/support/trigger-bus.ts";
import { allow, deny, rewrite } from "../base/decision.ts";
import { triggersCommand } from "./triggers.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command as the shell would; the first lines are those of standard output. */
async function run(api: TestApi, args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const [printed, complaints, codes]: [string[], string[], number[]] = [[], [], []];
  const command = triggersCommand({
    environment: { SLUICE_API: `http://127.0.0.1:${api.port}`, ...environment },
    print: (text) => void printed.push(text),
    complain: (text) => void complaints.push(text),
    exit: (code) => void codes.push(code),
  });
  await command.parseAsync([...args], { from: "user" });
  return { printed, complaints, code: codes[0] ?? 0 };
}

describe("sluice triggers", () => {
  it("lists, adds and removes handlers", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", () => true, { streams: ["live"] });
    const [id] = (await run(api, ["add", "USER_END", '{"handler":"/bin/true"}'])).printed;
    expect((await run(api, ["list"])).printed).toEqual(["function-1 USER_NEW function #1 for live", `${id} USER_END (told) /bin/true`]);
    await run(api, ["remove", `${id}`]);
    expect((await run(api, ["list"])).printed).toHaveLength(1);
    await expect(run(api, ["remove", `${id}`])).rejects.toThrow(`There is no handler ${id}`);
  });

  it("shows calls, and one with everything", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", () => deny("please subscribe"));
    await api.triggers.fire("USER_NEW", viewer);
    const { printed } = await run(api, ["calls", "--trigger", "USER_NEW", "--find", "t1"]);
    expect(printed).toEqual([
      expect.stringMatching(/^2026-11-22T\S+ USER_NEW live 127\.0\.0\.1: deny "please subscribe" \(0\.0 ms\) \S{36}$/),
    ]);
    const id = printed[0]?.split(" ").at(-1) ?? "";
    const [text] = (await run(api, ["show", id])).printed;
    expect(text).toContain('  function #1 [function-1]: deny "please subscribe" (0.0 ms)\ndecision: deny');
    const [json] = (await run(api, ["show", id, "--json"])).printed;
    expect(JSON.parse(json ?? "")).toMatchObject({ id, decision: deny("please subscribe") });
    await expect(run(api, ["show", "none"])).rejects.toThrow("The journal has no call none");
  });

  it("tests with fields, lines or a file", async () => {
    await using api = await startApi();
    api.triggers.on("PUSH_REWRITE", ({ stream }) => (stream === "key" ? rewrite("live") : deny("unknown key")));
    writeFileSync(join(folder, "payload.json"), '{ "stream": "key" }');
    for (const [payload, words] of [
      ['{"stream":"key"}', 'decision: rewrite to "live"'],
      ["rtmp://x/live/a\n127.0.0.1\na", 'decision: deny "unknown key"'],
      [join(folder, "payload.json"), 'decision: rewrite to "live"'],
    ] as const) {
      expect((await run(api, ["test", "PUSH_REWRITE", "--payload", payload])).printed[0]).toContain(words);
    }
    await expect(run(api, ["test", "PUSH_REWRITE", "--payload", "{"])).rejects.toThrow("This is no valid JSON");
    await expect(run(api, ["test", "PUSH", "--payload", "{}"])).rejects.toThrow("trigger must be one of SYSTEM_START");
  });

  it("names the account in its refusal and takes it from the environment", async () => {
    const password = createHash("md5").update("secret").digest("hex");
    await using api = await startApi({ config: { account: { admin: { password } } } });
    expect((await run(api, ["list"], { SLUICE_ACCOUNT: "admin:secret" })).printed).toEqual([]);
    await expect(run(api, ["list", "--api", "http://127.0.0.1:1"])).rejects.toThrow("http://127.0.0.1:1 cannot be reached");
    await expect(run(api, ["list", "--api", "nonsense"])).rejects.toThrow("that is no URL");
  });

  it("replays recorded calls against new handlers and shows what would differ", async () => {
    await using api = await startApi({ config: { streams: { live: "push://" } } });
    api.journal.configure({ ...api.journal.setting, unmasked: true });
    api.triggers.on("USER_NEW", () => true);
    api.triggers.on("PUSH_REWRITE", () => "live");
    for (const token of ["a", "b", "c"]) await api.triggers.fire("USER_NEW", { ...viewer, token });
    await api.triggers.fire("PUSH_REWRITE", push);
    await api.triggers.fire("PUSH_REWRITE", { ...push, stream: "key2" });
    await api.journal.flush();
    writeFileSync(
      join(folder, "next.ts"),
      `import { allow, deny } from "sluice";
       export const USER_NEW = ({ token }: { token: string }, { mode }: { mode: string }) =>
         token === "b" ? deny(\`not \${token}, \${mode}\`) : allow();`,
    );
    const child = spawn(
      process.execPath,
      [new URL("../cli.ts", import.meta.url).pathname, "triggers", "replay", "--handler", join(folder, "next.ts"), "--since", "1h"],
      { env: { ...process.env, SLUICE_API: `http://127.0.0.1:${api.port}` } },
    );
    let [output, errors] = ["", ""];
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    const [code] = (await once(child, "close")) as [number];
    expect(output).toMatch(/^\S+ USER_NEW live 127\.0\.0\.1: allow \([^)]*\) \S{36}\n {2}was allow, would be deny "not b, rehearsal"\n$/);
    expect(errors.trim()).toMatch(/^5 calls: 1 differ, 2 are the same, 2 are of triggers without a handler in \S+next\.ts$/);
    expect(code).toBe(1);
  });

  it("tails calls as they end", async () => {
    await using api = await startApi();
    api.triggers.on("USER_NEW", () => allow());
    const following = Promise.withResolvers<void>();
    const { follow } = api.journal;
    Object.assign(api.journal, { follow: (each: Parameters<typeof follow>[0]) => (following.resolve(), follow(each)) });
    const child = spawn(process.execPath, [new URL("../cli.ts", import.meta.url).pathname, "triggers", "tail", "--json"], {
      env: { ...process.env, SLUICE_API: `http://127.0.0.1:${api.port}` },
    });
    const [shown] = await Promise.all([
      once(child.stdout, "data") as Promise<[Buffer]>,
      following.promise.then(() => api.triggers.fire("USER_NEW", viewer)).then(() => api.journal.flush()),
    ]);
    const exited = once(child, "exit");
    child.kill();
    await exited;
    expect(JSON.parse(shown[0].toString().split("\n")[0] ?? "")).toMatchObject({ trigger: "USER_NEW", decision: { kind: "allow" } });
  });
});
