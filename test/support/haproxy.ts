import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChild } from "./child.ts";
import { freePort } from "./free-port.ts";

export type Forwarding = {
  /** Port on this machine. */
  readonly to: number;
  /** How the server line says what is sent before the client's bytes: `send-proxy`, `send-proxy-v2`, `send-proxy-v2-ssl`, or nothing. */
  readonly send: string;
  /** Clients seem to come from there. */
  readonly source: string;
  /** Certificate and key in one file: clients speak TLS with haproxy. */
  readonly pem?: string;
};

/** A real haproxy that forwards TCP. `ports` are in the order of `forwardings`. */
export async function startHaproxy(forwardings: readonly Forwarding[]): Promise<{ readonly ports: readonly number[] } & AsyncDisposable> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-haproxy-"));
  const ports: number[] = [];
  const parts = ["defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 60s", "  timeout server 60s"];
  for (const [at, { to, send, source, pem }] of forwardings.entries()) {
    const port = await freePort();
    ports.push(port);
    parts.push(`listen f${at}`, `  bind 127.0.0.1:${port}${pem ? ` ssl crt ${pem} alpn http/1.1` : ""}`);
    parts.push(`  tcp-request connection set-src str(${source})`, `  server s 127.0.0.1:${to} ${send}`);
  }
  writeFileSync(join(folder, "haproxy.cfg"), `${parts.join("\n")}\n`);
  const child = startChild("haproxy", ["-db", "-f", join(folder, "haproxy.cfg")]);
  await Promise.race([Promise.all(ports.map(answers)), child.exited.then(() => Promise.reject(new Error(`haproxy: ${child.stderr()}`)))]);
  return {
    ports,
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when something listens on the port. */
async function answers(port: number): Promise<void> {
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
