import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openStore } from "../../src/store/store.ts";
import { startApi } from "../support/api-server.ts";

const source = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);

it("what was configured through the API is there after the process was killed right after the answer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-kill-"));
  const script = `
    const { openStore } = await import(${source("../../src/store/store.ts")});
    const { startApi } = await import(${source("../support/api-server.ts")});
    const api = await startApi({ store: (await openStore(${JSON.stringify(directory)})).configChanges });
    process.stdout.write(String(api.port));`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [port] = (await once(child.stdout, "data")) as [Buffer];
    const triggers = { USER_NEW: [{ handler: "http://127.0.0.1:9100/t", sync: true, streams: ["live"], default: "true" }] };
    const body = JSON.stringify({
      config: { triggers, defaultStream: "vod" },
      addstream: { live: { source: "push://", DVR: 60_000 }, gone: { source: "push://" } },
      deletestream: "gone",
      authorize: { new_username: "admin", new_password: "secret" },
    });
    const response = await fetch(`http://127.0.0.1:${port.toString()}/api2`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
    });
    child.kill("SIGKILL");
    expect(await response.json()).toMatchObject({ authorize: { status: "ACC_MADE" }, streams: { live: { source: "push://" } } });
    await once(child, "exit");

    await using store = await openStore(directory);
    await using again = await startApi({ store: store.configChanges, config: { defaultStream: "from the file" } });
    const { config, streams } = await again.call({ config: true, streams: true });
    expect(config).toMatchObject({ triggers, defaultStream: "vod" });
    expect(streams).toEqual({ live: { name: "live", source: "push://", DVR: 60_000, online: 0 } });
    expect(Object.keys(again.configuration.settings.account)).toEqual(["admin"]);
    expect(again.lines[0]?.message).toContain(
      "counts before the built-in configuration: account.admin, defaultStream, streams.gone, streams.live, triggers",
    );
  } finally {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
