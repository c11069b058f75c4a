import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../test/support/free-port.ts";
import { root } from "../test/support/source-files.ts";

/** A media server under measurement, with the addresses that it has. */
export interface Server extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly publishUrl: string;
  readonly rtmp?: { readonly port: number; readonly app: string; readonly stream: string };
  readonly flv?: { readonly port: number; readonly path: string };
  readonly hls?: { readonly port: number; readonly path: string };
}

export type StartServer = () => Promise<Server>;

const stream = "bench";

/** Every server that can be measured. */
export const servers: Readonly<Record<string, StartServer>> = {
  sluice: async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
    const ports = { rtmp: await freePort(), http: await freePort(), api: await freePort() };
    const flags = [
      "--host",
      "127.0.0.1",
      "--rtmp-port",
      `${ports.rtmp}`,
      "--http-port",
      `${ports.http}`,
      "--api-port",
      `${ports.api}`,
      "--data",
      folder,
    ];
    const profile = process.env.SLUICE_BENCH_PROFILE ? ["--cpu-prof", `--cpu-prof-dir=${process.env.SLUICE_BENCH_PROFILE}`] : [];
    const child = spawn(process.execPath, [...profile, join(root, "src/cli.ts"), ...flags], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
    });
    await listening(ports.api, child);
    return {
      name: "sluice",
      pid: child.pid ?? 0,
      publishUrl: `rtmp://127.0.0.1:${ports.rtmp}/live/${stream}`,
      rtmp: { port: ports.rtmp, app: "play", stream },
      flv: { port: ports.http, path: `/${stream}.flv` },
      hls: { port: ports.http, path: `/hls/${stream}/index.m3u8` },
      [Symbol.asyncDispose]: () => end(child, folder),
    };
  },
  "node-media-server": async () => {
    const folder = mkdtempSync(join(tmpdir(), "nms-bench-"));
    const ports = { rtmp: await freePort(), http: await freePort() };
    const config = {
      bind: "127.0.0.1",
      notify: { url: "" },
      store: { path: folder, maxHistory: 10 },
      auth: { play: false, publish: false, secret: "" },
      rtmp: { port: ports.rtmp },
      http: { port: ports.http },
      webadmin: { enable: false },
    };
    const file = join(folder, "start.cjs");
    const module = createRequire(import.meta.url).resolve("node-media-server");
    writeFileSync(file, `const Server = require(${JSON.stringify(module)}); new Server(${JSON.stringify(config)}).run();`);
    const child = spawn(process.execPath, [file], { cwd: folder, stdio: "ignore" });
    await listening(ports.http, child);
    return {
      name: "node-media-server",
      pid: child.pid ?? 0,
      publishUrl: `rtmp://127.0.0.1:${ports.rtmp}/live/${stream}`,
      rtmp: { port: ports.rtmp, app: "live", stream },
      flv: { port: ports.http, path: `/live/${stream}.flv` },
      [Symbol.asyncDispose]: () => end(child, folder),
    };
  },
  nginx: async () => {
    const folder = mkdtempSync(join(tmpdir(), "nginx-bench-"));
    const ports = { rtmp: await freePort(), http: await freePort() };
    mkdirSync(join(folder, "hls"));
    writeFileSync(
      join(folder, "nginx.conf"),
      `load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
user root;
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 8192; }
rtmp { server { listen 127.0.0.1:${ports.rtmp}; chunk_size 4096;
  application live { live on; hls on; hls_path ${folder}/hls; hls_fragment 2s; hls_playlist_length 12s; } } }
http { access_log off; sendfile on; tcp_nopush on; types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${ports.http}; keepalive_requests 100000; location /hls { root ${folder}; } } }
`,
    );
    const child = spawn("/usr/sbin/nginx", ["-c", join(folder, "nginx.conf"), "-p", folder, "-e", join(folder, "error.log")], {
      stdio: "ignore",
    });
    await listening(ports.http, child);
    return {
      name: "nginx",
      pid: child.pid ?? 0,
      publishUrl: `rtmp://127.0.0.1:${ports.rtmp}/live/${stream}`,
      rtmp: { port: ports.rtmp, app: "live", stream },
      hls: { port: ports.http, path: `/hls/${stream}.m3u8` },
      [Symbol.asyncDispose]: () => end(child, folder),
    };
  },
};

/** Resolves when somebody listens on the port; rejects when the server ended or 20 s have passed. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  const limit = performance.now() + 20_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode} before it listened on port ${port}`);
    const open = await new Promise<boolean>((resolve) => {
      const probe = connect(port, "127.0.0.1");
      probe.once("connect", () => {
        probe.destroy();
        resolve(true);
      });
      probe.once("error", () => resolve(false));
    });
    if (open) return;
    if (performance.now() > limit) throw new Error(`nobody listens on port ${port} after 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function end(child: ChildProcess, folder: string): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(force);
  }
  rmSync(folder, { recursive: true, force: true });
}
