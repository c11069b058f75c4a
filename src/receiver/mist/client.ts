import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "undici";
import { messageOf, SluiceError } from "../../base/errors.ts";
import {
  isObject,
  type MistClientRow,
  type MistConfig,
  type MistObject,
  type MistPick,
  type MistTotals,
  type MistTrigger,
  rowsOf,
} from "./shapes.ts";

export type MistClientOptions = {
  /** `http://HOST:4242`. A path is kept; without one it is `/api2`, which answers only what was asked. */
  readonly url: string;
  /** An account; on the MistServer's own machine none is needed. */
  readonly username?: string;
  readonly password?: string;
  /** Milliseconds for one try; 10000 if left out. */
  readonly timeoutMs?: number;
  /** Tries when the connection fails; 3 if left out. 1 for commands that must not run twice. */
  readonly attempts?: number;
  /** More headers, as a proxy in front may need. */
  readonly headers?: Readonly<Record<string, string>>;
};

/** Statuses of `authorize` that let commands run; without an account at the MistServer they do, too. */
const authorized: readonly unknown[] = ["OK", "NOACC", "ACC_MADE", undefined];
const mostReply = 64 << 20;

/**
 * The JSON API of a MistServer, over one connection that is kept. It logs in when it is told to, and tries again when a connection
 * fails. Calls reject with a `SluiceError` that says what to do: "source.failed" when the server cannot be reached or does not
 * answer, "api.credentials" when it does not take the login, "api.conflict" when it did not do what was asked.
 */
export class MistClient implements AsyncDisposable {
  readonly #options: MistClientOptions;
  readonly #url: URL;
  readonly #client: Client;
  #changing: Promise<unknown> = Promise.resolve();

  /** Connects at the first call. Throws "config.invalid" for a URL that is none. */
  constructor(options: MistClientOptions) {
    this.#options = options;
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (!url || !/^https?:$/.test(url.protocol))
      throw new SluiceError("config.invalid", "the address of the MistServer is no URL; write one such as http://127.0.0.1:4242");
    if (url.username !== "" || url.password !== "")
      throw new SluiceError("config.invalid", "the address of the MistServer holds a login; give it as `username` and `password`");
    this.#url = url;
    // A login holds for its connection, so there is one.
    this.#client = new Client(url.origin, { pipelining: 1, keepAliveTimeout: 30_000 });
  }

  /** Any commands of the API, in one request: `call({ active_streams: true, clients: {} })`. */
  async call(commands: MistObject): Promise<MistObject> {
    const first = await this.#post(commands);
    if (authorized.includes(statusOf(first))) return checked(first, this.#url);
    const { username, password } = this.#options;
    if (username === undefined || password === undefined)
      throw new SluiceError(
        "api.credentials",
        `${this.#url.origin} asks for a login: give \`username\` and \`password\` of one of its accounts`,
      );
    const { challenge } = first["authorize"] as MistObject;
    // Together with the commands: were the connection another one by then, it is logged in all the same.
    const login = { username, password: md5(md5(password) + String(challenge)) };
    const second = await this.#post({ ...commands, authorize: login });
    if (authorized.includes(statusOf(second))) return checked(second, this.#url);
    throw new SluiceError(
      "api.credentials",
      `${this.#url.origin} does not take the login of "${username}": its name or its password is wrong`,
    );
  }

  /** The configuration. */
  async config(): Promise<MistConfig> {
    const { config } = await this.call({ config: {} });
    if (!isObject(config)) throw this.#odd("config");
    return config as MistConfig;
  }

  /** The table of triggers as it stands, with entries in both forms. */
  async triggers(): Promise<Readonly<Record<string, readonly unknown[]>>> {
    return (await this.config()).triggers ?? {};
  }

  /** Puts a handler in, in the place of one with the same address (its query aside) and the same streams. */
  addTrigger(name: string, entry: MistTrigger): Promise<void> {
    return this.changeTriggers((table) => ({
      ...table,
      [name]: [...(table[name] ?? []).filter((one) => !(sameAddress(one, entry.handler) && sameStreams(one, entry))), entry],
    }));
  }

  /** Takes out what has this address (its query aside). Gives how many there were. */
  async removeTrigger(name: string, handler: string): Promise<number> {
    let removed = 0;
    await this.changeTriggers((table) => {
      const kept = (table[name] ?? []).filter((one) => !sameAddress(one, handler));
      removed = (table[name]?.length ?? 0) - kept.length;
      return { ...table, [name]: kept };
    });
    return removed;
  }

  /**
   * Reads the whole table, changes it and writes it back: a MistServer has no smaller change. One after the other in this client;
   * of two programs that do this at once, one loses. Rejects with "api.conflict" unless the reply has what was written.
   */
  changeTriggers(
    change: (table: Readonly<Record<string, readonly unknown[]>>) => Readonly<Record<string, readonly unknown[]>>,
  ): Promise<void> {
    const done = this.#changing.then(async () => {
      const wanted = Object.fromEntries(Object.entries(change(await this.triggers())).filter(([, list]) => list.length > 0));
      const { config } = await this.call({ config: { triggers: wanted } });
      if (!isObject(config)) throw this.#odd("config");
      const written = isObject(config.triggers) ? config.triggers : {};
      for (const name of new Set([...Object.keys(wanted), ...Object.keys(written)])) {
        if (summary(written[name]) === summary(wanted[name])) continue;
        throw new SluiceError(
          "api.conflict",
          `${this.#url.origin} did not write the handlers of ${name} as they were given; look at its log, and at what else changes its triggers`,
        );
      }
    });
    this.#changing = done.catch(() => {});
    return done;
  }

  /** Asks USER_NEW again for everybody who watches these streams; exact names only. */
  async invalidateSessions(streams: string | readonly string[]): Promise<void> {
    await this.call({ invalidate_sessions: streams });
  }

  /** Ends sessions by their ids; who is ended may come back at once. */
  async stopSessid(ids: string | readonly string[]): Promise<void> {
    await this.call({ stop_sessid: ids });
  }

  /** Streams with these fields by name; also those that were there within the last ten minutes: look at `status`. */
  async activeStreams(
    fields: readonly string[] = ["status", "viewers", "inputs", "outputs"],
  ): Promise<Readonly<Record<string, MistObject>>> {
    const { active_streams: reply } = await this.call({ active_streams: fields });
    if (reply === null || reply === undefined) return {};
    if (!isObject(reply) || !Object.values(reply).every((row) => Array.isArray(row))) throw this.#odd("active_streams");
    return Object.fromEntries(
      Object.entries(reply as Readonly<Record<string, readonly unknown[]>>).map(([name, row]) => [
        name,
        Object.fromEntries(fields.map((field, at) => [field, row[at]])),
      ]),
    );
  }

  /** Sessions that live now: viewers, publishers and outputs. */
  async clients(pick: MistPick = {}): Promise<readonly MistClientRow[]> {
    const { clients } = await this.call({ clients: pick });
    const rows = rowsOf(clients);
    if (!rows) throw this.#odd("clients");
    return rows as readonly MistClientRow[];
  }

  /** Sums for each second; `start` and `end` are Unix seconds, or seconds ago when negative. */
  async totals(
    query: MistPick & { readonly fields?: readonly string[]; readonly start?: number; readonly end?: number } = {},
  ): Promise<MistTotals> {
    const { totals } = await this.call({ totals: query });
    if (!isObject(totals)) throw this.#odd("totals");
    const { fields, start, end, data } = totals as Partial<MistTotals>;
    return { fields: fields ?? [], start: start ?? 0, end: end ?? 0, data: data ?? [] };
  }

  /** Ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  async #post(commands: MistObject): Promise<MistObject> {
    const { attempts = 3 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#exchange(JSON.stringify(commands));
      } catch (error) {
        if (error instanceof SluiceError) throw error;
        // A server that is late has the commands; they are not given to it once more.
        const late = error instanceof Error && error.name === "TimeoutError";
        if (late || attempt >= attempts) {
          const why = late ? `gave no answer within ${this.#timeoutMs} ms` : `cannot be reached: ${messageOf(error) || "no connection"}`;
          throw new SluiceError("source.failed", `the MistServer at ${this.#url.origin} ${why}; is it running, and is the address right?`, {
            cause: error,
          });
        }
        await pause(100 * attempt);
      }
    }
  }

  async #exchange(body: string): Promise<MistObject> {
    const { pathname, search } = this.#url;
    const response = await this.#client.request({
      method: "POST",
      path: `${pathname === "/" ? "/api2" : pathname}${search}`,
      // Exactly so: with a charset behind it a MistServer does not look at the body.
      headers: { ...this.#options.headers, "Content-Type": "application/json" },
      body,
      signal: AbortSignal.timeout(this.#timeoutMs),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > mostReply) throw new SluiceError("source.failed", `${this.#url.origin} answers with more than ${mostReply} bytes`);
      chunks.push(chunk);
    }
    let reply: unknown;
    try {
      reply = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    } catch {
      reply = undefined;
    }
    if (isObject(reply) && response.statusCode === 200) return reply;
    throw new SluiceError(
      "source.failed",
      `${this.#url.origin} does not answer as a MistServer's API does (status ${response.statusCode}); the API is on port 4242, if nobody changed that`,
    );
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 10_000;
  }

  #odd(member: string): SluiceError {
    return new SluiceError("source.failed", `${this.#url.origin}: its answer has no \`${member}\` that can be read; is it a MistServer?`);
  }
}

/** True if an entry, in either form, calls this address; what its query says does not count. */
export function sameAddress(entry: unknown, handler: string): boolean {
  const own = Array.isArray(entry) ? entry[0] : isObject(entry) ? entry.handler : undefined;
  return typeof own === "string" && own.split("?")[0] === handler.split("?")[0];
}

function sameStreams(entry: unknown, { streams = [] }: MistTrigger): boolean {
  return streamsOf(entry).toSorted().join() === streams.toSorted().join();
}

function streamsOf(entry: unknown): readonly string[] {
  const streams: unknown = Array.isArray(entry) ? entry[2] : isObject(entry) ? entry.streams : undefined;
  return Array.isArray(streams) ? streams.map(String) : [];
}

/** What a list of handlers comes to, whichever form its entries have. */
function summary(list: unknown): string {
  const entries = Array.isArray(list) ? list : [];
  return JSON.stringify(
    entries.map((entry: unknown) => {
      const [handler, sync] = Array.isArray(entry) ? entry : isObject(entry) ? [entry.handler, entry.sync] : [];
      return [handler, Boolean(sync), streamsOf(entry)];
    }),
  );
}

function statusOf(reply: MistObject): unknown {
  return isObject(reply["authorize"]) ? reply["authorize"]["status"] : undefined;
}

/** Without an account a MistServer runs commands, and says beside them when it does not. */
function checked(reply: MistObject, { origin }: URL): MistObject {
  const error = isObject(reply["authorize"]) ? reply["authorize"]["error"] : undefined;
  if (statusOf(reply) !== "NOACC" || error === undefined) return reply;
  throw new SluiceError("api.credentials", `${origin} has no account, and takes commands from its own machine only: ${String(error)}`);
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}
