import { createHash } from "node:crypto";
import { Agent, request } from "node:http";

/** A trigger's entry as Livepeer's catalyst-api decodes it: each one an object with these members, or decoding fails. */
export type ClientTrigger = {
  readonly handler: string;
  readonly sync: boolean;
  readonly streams: readonly string[];
  readonly params?: string;
  readonly default?: string;
};

/** What its one polling call brings. */
export type ClientState = {
  readonly activeStreams: Readonly<Record<string, readonly [source: string | null]>>;
  readonly stats: Readonly<Record<string, readonly [clients: number, lastms: number]>>;
  readonly pushes: readonly unknown[];
  readonly autoPushes: readonly unknown[];
};

type Reply = Readonly<Record<string, unknown>>;

export type MistClientOptions = {
  readonly port: number;
  readonly username: string;
  readonly password: string;
  /** What a reverse proxy adds; with one of them a program on this machine has to log in. */
  readonly headers?: Readonly<Record<string, string>>;
};

/**
 * A client written for MistServer, after the description of Livepeer's catalyst-api: JSON in the body of `POST /api` with exactly
 * `Content-Type: application/json`; a reply whose `authorize.status` is not OK means: log in with the challenge that it brought,
 * and repeat, once. It knows nothing of Sluice.
 */
export class MistClient {
  readonly #options: MistClientOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #changing: Promise<unknown> = Promise.resolve();
  /** Requests that were sent. */
  requests = 0;
  /** Times that it logged in. */
  logins = 0;

  constructor(options: MistClientOptions) {
    this.#options = options;
  }

  /** One command. Rejects when the login fails, too. */
  async send(command: Reply): Promise<Reply> {
    const first = await this.#post(command);
    if (statusOf(first) === "OK") return first;
    const { challenge } = first["authorize"] as { readonly challenge: string };
    const password = md5(md5(this.#options.password) + challenge);
    this.logins++;
    const login = await this.#post({ authorize: { username: this.#options.username, password } });
    if (statusOf(login) !== "OK") throw new Error(`login failed: ${JSON.stringify(login["authorize"])}`);
    const second = await this.#post(command);
    if (statusOf(second) !== "OK") throw new Error(`not authorized after the login: ${JSON.stringify(second["authorize"])}`);
    return second;
  }

  /** Reads the whole table of triggers, with an empty change of the configuration. */
  async triggers(): Promise<Readonly<Record<string, readonly ClientTrigger[]>>> {
    return triggersOf(await this.send({ config: {} }));
  }

  /** Puts a handler in: it takes the place of whatever has exactly the same streams. Rejects unless the reply has it. */
  addTrigger(name: string, entry: ClientTrigger): Promise<void> {
    return this.#change(name, entry.streams, [entry]);
  }

  deleteTrigger(name: string, streams: readonly string[]): Promise<void> {
    return this.#change(name, streams, []);
  }

  /** Rejects unless the reply has streams. */
  async addStream(name: string, source: string): Promise<void> {
    const { streams } = await this.send({ addstream: { [name]: { source } } });
    if (typeof streams !== "object" || streams === null || Object.keys(streams).length === 0) throw new Error(`${name} was not added`);
  }

  async deleteStream(name: string): Promise<void> {
    await this.send({ deletestream: { [name]: null } });
    await this.nuke(name);
  }
  async nuke(name: string): Promise<void> {
    await this.send({ nuke_stream: name });
  }
  async stopSessions(stream: string): Promise<void> {
    await this.send({ stop_sessions: stream });
  }
  async invalidateSessions(stream: string): Promise<void> {
    await this.send({ invalidate_sessions: stream });
  }

  async poll(): Promise<ClientState> {
    const reply = await this.send({
      active_streams: ["source"],
      stats_streams: ["clients", "lastms"],
      push_list: true,
      push_auto_list: true,
    });
    return {
      activeStreams: mapOf(reply["active_streams"], ([source]) => source === null || typeof source === "string"),
      stats: mapOf(reply["stats_streams"], (row) => row.length === 2 && row.every(Number.isInteger)),
      pushes: listOf(reply["push_list"]),
      autoPushes: listOf(reply["push_auto_list"]),
    };
  }

  async pushAutoAdd(stream: string, target: string): Promise<readonly unknown[]> {
    const reply = await this.send({ push_auto_add: { stream, target } });
    return listOf(reply["push_auto_list"]);
  }
  async pushAutoRemove(pushes: readonly (readonly [stream: string, target: string])[]): Promise<readonly unknown[]> {
    return listOf((await this.send({ push_auto_remove: pushes }))["push_auto_list"]);
  }
  async pushStop(ids: readonly number[]): Promise<void> {
    await this.send({ push_stop: ids });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** One change after the other: each writes the whole table, so two at once would lose one. */
  #change(name: string, streams: readonly string[], put: readonly ClientTrigger[]): Promise<void> {
    const done = this.#changing.then(async () => {
      const table = await this.triggers();
      const others = (table[name] ?? []).filter((entry) => !sameSet(entry.streams, streams));
      const wanted = { ...table, [name]: [...others, ...put] };
      const written = triggersOf(await this.send({ config: { triggers: wanted } }));
      const found = (written[name] ?? []).filter((entry) => sameSet(entry.streams, streams));
      const right =
        found.length === put.length && put.every((entry) => found[0]?.sync === entry.sync && found[0].handler === entry.handler);
      if (!right) throw new Error(`${name} was not written: ${JSON.stringify(written)}`);
    });
    this.#changing = done.catch(() => {});
    return done;
  }

  #post(command: Reply): Promise<Reply> {
    this.requests++;
    const body = JSON.stringify(command);
    const { port, headers } = this.#options;
    return new Promise((resolve, reject) => {
      const call = request(
        {
          host: "127.0.0.1",
          port,
          path: "/api",
          method: "POST",
          agent: this.#agent,
          headers: { ...headers, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
        },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (text += chunk));
          response.on("end", () => {
            if (response.statusCode !== 200) reject(new Error(`${response.statusCode}: ${text}`));
            else resolve(JSON.parse(text) as Reply);
          });
          response.on("error", reject);
        },
      );
      call.on("error", reject);
      call.end(body);
    });
  }
}

function statusOf(reply: Reply): unknown {
  return (reply["authorize"] as Reply | undefined)?.["status"];
}

/** As a typed decoder: fails where a member has another type. */
function triggersOf(reply: Reply): Readonly<Record<string, readonly ClientTrigger[]>> {
  const { triggers } = reply["config"] as Reply;
  if (triggers === null || triggers === undefined) return {};
  for (const [name, entries] of Object.entries(triggers as Record<string, unknown>)) {
    if (!Array.isArray(entries)) throw new TypeError(`${name}: no list`);
    for (const entry of entries as Record<string, unknown>[]) {
      const right = typeof entry["handler"] === "string" && typeof entry["sync"] === "boolean" && Array.isArray(entry["streams"]);
      if (Array.isArray(entry) || !right) throw new TypeError(`${name}: ${JSON.stringify(entry)}`);
    }
  }
  return triggers as Record<string, readonly ClientTrigger[]>;
}

function mapOf<T>(value: unknown, fits: (row: readonly unknown[]) => boolean): Readonly<Record<string, T>> {
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new TypeError(`no object: ${JSON.stringify(value)}`);
  for (const row of Object.values(value as object))
    if (!Array.isArray(row) || !fits(row)) throw new TypeError(`not so: ${JSON.stringify(value)}`);
  return value as Record<string, T>;
}

function listOf(value: unknown): readonly unknown[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw new TypeError(`no list: ${JSON.stringify(value)}`);
  return value;
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name) => right.includes(name));
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}
