import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type Child, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";

/** Where Debian puts the server's programs: one folder for each version. */
const debian = "/usr/lib/postgresql";

/** The folder with `initdb` and `postgres`, the newest there is; undefined where PostgreSQL is not installed: its tests are skipped. */
export const postgresFolder: string | undefined = [
  ...(existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []).map((version) =>
    join(debian, version, "bin"),
  ),
  ...(process.env["PATH"] ?? "").split(":"),
].find((folder) => ["initdb", "postgres"].every((program) => existsSync(join(folder, program))));

/** A PostgreSQL of a test's own, on a free port of this machine. */
export interface Postgres extends AsyncDisposable {
  /** The address of a schema that is empty and used by nobody else. */
  place(): Promise<string>;
  /** Asks as the owner of everything. */
  query(text: string): Promise<readonly Record<string, unknown>[]>;
  /** "SIGINT" ends it in order and closes all connections, "SIGQUIT" at once. */
  stop(signal?: "SIGINT" | "SIGQUIT"): Promise<void>;
  /** Starts it again on the same port, with the same data. */
  start(): Promise<void>;
}

/** Makes and starts one. Data are not waited for on the disk: nobody pulls the plug of a test. */
export async function startPostgres(): Promise<Postgres> {
  if (postgresFolder === undefined) throw new Error("PostgreSQL is not installed");
  const folder = mkdtempSync(join(tmpdir(), "sluice-pg-"));
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? unprivileged() : {};
  if (user.uid !== undefined && user.gid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const options = { ...user, cwd: folder, env: { ...process.env, LC_ALL: "C.UTF-8" } };
  execFileSync(join(postgresFolder, "initdb"), ["-D", data, "-A", "trust", "-U", "sluice", "--no-sync", "-E", "UTF8"], {
    ...options,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const port = await freePort();
  const address = `postgres://sluice@127.0.0.1:${port}/postgres`;
  let server: Child | undefined;
  let places = 0;
  const start = async (): Promise<void> => {
    const args = ["-D", data, "-h", "127.0.0.1", "-p", `${port}`, "-k", folder, "-c", "fsync=off", "-c", "max_connections=50"];
    server = startChild(join(postgresFolder, "postgres"), args, options);
    await server.printed(/ready to accept connections/);
  };
  const query = async (text: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: address });
    await client.connect();
    try {
      return (await client.query(text)).rows as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  const last = (): void => void server?.process.kill("SIGQUIT");
  process.once("exit", last);
  await start();
  return {
    async place() {
      const schema = `place_${++places}`;
      await query(`CREATE SCHEMA ${schema}`);
      return `${address}?options=${encodeURIComponent(`-csearch_path=${schema}`)}`;
    },
    query,
    start,
    async stop(signal = "SIGINT") {
      await server?.stop(signal);
    },
    async [Symbol.asyncDispose]() {
      await server?.stop("SIGQUIT");
      process.off("exit", last);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function unprivileged(): { readonly uid?: number; readonly gid?: number } {
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  const line = users.find((one) => one.startsWith("postgres:")) ?? users.find((one) => one.startsWith("nobody:")) ?? "";
  const [uid, gid] = line.split(":").slice(2, 4).map(Number);
  return uid && gid ? { uid, gid } : {};
}
