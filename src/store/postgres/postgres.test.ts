import { createServer, connect, type Socket } from "node:net";
import { once } from "node:events";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Postgres, postgresFolder, startPostgres } from "../../../test/support/postgres.ts";
import type { Log } from "../../base/log.ts";
import { openStore } from "../store.ts";

/** A log whose next lines can be waited for. */
function keepLog(): Log & { readonly lines: readonly string[]; said(pattern: RegExp): Promise<string> } {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  return {
    lines,
    write(kind, message) {
      lines.push(`${kind} ${message}`);
      for (const look of waiting) look();
    },
    said: (pattern) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

const change = (value: number): Map<string, unknown> => new Map([["a", value]]);
const missing = postgresFolder === undefined;

describe.skipIf(missing)(`a store in PostgreSQL${missing ? " (which is not installed)" : ""}`, () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => await postgres[Symbol.asyncDispose]());

  it("says what is wrong with an address, and never its password", async () => {
    const where = new URL(await postgres.place());
    const wrong = async (mend: (url: URL) => void): Promise<string> => {
      const url = new URL(where);
      url.password = "very-secret";
      mend(url);
      const error = await openStore(url.href).then(
        () => new Error("it was opened"),
        (reason: unknown) => reason as Error & { readonly code: string },
      );
      expect(error).toMatchObject({ code: "config.invalid" });
      expect(error.message).not.toContain("very-secret");
      return error.message;
    };
    expect(await wrong((url) => (url.pathname = "/absent"))).toMatch(
      /^postgres:\/\/sluice@127\.0\.0\.1:\d+\/absent cannot be opened: database "absent" does not exist; make the database/,
    );
    expect(await wrong((url) => (url.username = "nobody"))).toMatch(/role "nobody" does not exist; mend the user or the password/);
    expect(await wrong((url) => (url.port = "1"))).toMatch(/ECONNREFUSED.*; see that PostgreSQL runs there/);
    expect(await wrong((url) => (url.search = "?options=-csearch_path%3Dabsent"))).toMatch(/no schema has been selected/);
    await expect(openStore("postgres://me:very-secret@[::1/x")).rejects.toThrow(/no address that can be read; write postgres:/);
  });

  it("goes on in the same database with another schema beside it", async () => {
    await using _one = await openStore(await postgres.place());
    await using _two = await openStore(await postgres.place());
  });

  it("goes on after a restart of the database, which is told once, and has what was acknowledged", async () => {
    const log = keepLog();
    await using store = await openStore(await postgres.place(), { log });
    await store.configChanges.write(change(1));
    await postgres.stop("SIGQUIT");
    await log.said(/^ERROR/);
    await expect(store.configChanges.write(change(2))).rejects.toMatchObject({ code: "server.failed" });
    const [write, read] = await Promise.allSettled([store.configChanges.write(change(3)), store.configChanges.read()]);
    expect([write.status, read.status]).toEqual(["rejected", "rejected"]);
    await postgres.start();
    await log.said(/^INFO The store is back/);
    expect(await store.configChanges.read()).toEqual(change(1));
    await store.configChanges.write(change(4));
    expect(await store.configChanges.read()).toEqual(change(4));
    expect(log.lines).toEqual([
      expect.stringMatching(/^ERROR The connection to the store is lost \(postgres:.*\): playing goes on; until it is back/),
      expect.stringMatching(/^INFO The store is back after \d+ seconds/),
    ]);
  });

  it("waits for a connection that was only cut, so that nobody is refused", async () => {
    const log = keepLog();
    await using store = await openStore(await postgres.place(), { log });
    // Those that read are cut as well.
    expect(await store.configChanges.read()).toEqual(new Map());
    await postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice'");
    await log.said(/^ERROR/);
    await store.configChanges.write(change(5));
    expect(await store.configChanges.read()).toEqual(change(5));
  });

  it("writes nothing any more when another Sluice has had the store meanwhile", async () => {
    const where = new URL(await postgres.place());
    await using passage = await openPassage(Number(where.port));
    const through = new URL(where);
    through.port = String(passage.port);
    const log = keepLog();
    await using first = await openStore(through.href, { log });
    await first.configChanges.write(change(1));
    passage.close();
    await log.said(/^ERROR The connection to the store is lost/);
    {
      await using second = await openStore(where.href);
      await second.configChanges.write(change(2));
    }
    passage.open();
    expect(await log.said(/^ERROR While/)).toMatch(
      /another Sluice has used the store meanwhile: this server writes nothing to it any more; playing goes on; end one of the two servers/,
    );
    await expect(first.configChanges.write(change(3))).rejects.toThrow(/another Sluice has used the store meanwhile/);
    // Who only looks something up still may.
    expect(await first.configChanges.read()).toEqual(change(2));
  });

  it("writes nothing while the lock is held elsewhere, and goes on when it is released", async () => {
    const where = new URL(await postgres.place());
    const schema = where.searchParams.get("options")?.split("=")[1] ?? "";
    await using passage = await openPassage(Number(where.port));
    const through = new URL(where);
    through.port = String(passage.port);
    const log = keepLog();
    await using store = await openStore(through.href, { log });
    passage.close();
    await log.said(/^ERROR The connection to the store is lost/);
    const other = new pg.Client({ connectionString: where.href });
    await other.connect();
    await other.query(`SELECT pg_advisory_lock(${0x73_6c_75_69}, hashtext('${schema}'))`);
    passage.open();
    expect(await log.said(/^ERROR While/)).toContain("another connection holds the store's lock: until it is released");
    await expect(store.configChanges.write(change(1))).rejects.toThrow(/holds the store's lock/);
    expect(await store.configChanges.read()).toEqual(new Map());
    await other.end();
    await log.said(/^INFO The store is back/);
    await store.configChanges.write(change(2));
    expect(await store.configChanges.read()).toEqual(change(2));
    expect(log.lines).toHaveLength(3);
  });
});

/** A TCP passage to the database that can be closed and opened again. */
async function openPassage(port: number): Promise<{ readonly port: number; close(): void; open(): void } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  let closed = false;
  const server = createServer((near) => {
    if (closed) return void near.destroy();
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    close() {
      closed = true;
      for (const socket of sockets) socket.destroy();
    },
    open() {
      closed = false;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
