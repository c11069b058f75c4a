import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";
import { root } from "./source-files.ts";

/** A running server in a process of its own, with free ports and an empty working directory. */
export interface Sluice extends AsyncDisposable {
  readonly child: Child;
  readonly folder: string;
  readonly ports: { readonly rtmp: number; readonly http: number; readonly api: number };
  rtmp(path: string): string;
  http(path: string): string;
  /** One call of MistServer's JSON API; resolves with the parsed answer. */
  api(command: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>>;
  /** Starts it again in the same folder on the same ports after it was stopped or killed. */
  again(): Promise<Sluice>;
}

export type SluiceOptions = {
  /** The text of sluice.config.ts, or an object for sluice.config.json. */
  readonly config?: string | Readonly<Record<string, unknown>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
};

/** Starts the server as a user would and waits until it says that it is ready. */
export async function startSluice(options: SluiceOptions = {}): Promise<Sluice> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
  if (typeof options.config === "string") writeFileSync(join(folder, "sluice.config.ts"), options.config);
  else if (options.config) writeFileSync(join(folder, "sluice.config.json"), JSON.stringify(options.config));
  for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(join(folder, name), text);
  const ports = { rtmp: await freePort(), http: await freePort(), api: await freePort() };
  return launch(folder, ports, options);
}

async function launch(folder: string, ports: Sluice["ports"], options: SluiceOptions): Promise<Sluice> {
  const args = [
    join(root, "src/cli.ts"),
    "--host",
    "127.0.0.1",
    "--rtmp-port",
    `${ports.rtmp}`,
    "--http-port",
    `${ports.http}`,
    "--api-port",
    `${ports.api}`,
  ];
  const child = startChild(process.execPath, [...args, ...(options.flags ?? [])], {
    cwd: folder,
    env: { ...process.env, ...options.environment },
  });
  await child.printed(/ready/i);
  return {
    child,
    folder,
    ports,
    rtmp: (path) => `rtmp://127.0.0.1:${ports.rtmp}/${path}`,
    http: (path) => `http://127.0.0.1:${ports.http}/${path}`,
    api: async (command) => {
      const response = await fetch(`http://127.0.0.1:${ports.api}/api2`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(command),
      });
      return (await response.json()) as Record<string, unknown>;
    },
    again: () => launch(folder, ports, options),
    [Symbol.asyncDispose]: async () => {
      await child.stop().catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
