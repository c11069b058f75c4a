import type { Verdict } from "../base/decision.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import { generateToken } from "../sessions/token.ts";
import type { RequestDetails } from "../triggers/table.ts";
import type { Triggers } from "../triggers/trigger.ts";
import type { Hearer } from "./trace.ts";

/** What native handlers are told of a request beside the payload. */
export function detailsOf(
  request: Pick<AccessRequest, "protocol" | "query" | "headers" | "cookies" | "tls">,
  asked: StreamName,
  recheck = false,
): RequestDetails {
  const { query, headers, cookies, tls } = request;
  return { asked, recheck, connector: request.protocol, query, headers, cookies, ...(tls && { tls }) };
}

/** Answers that one connection remembers; a proxy's connection that serves more viewers has the oldest asked about again. */
const mostAnswers = 64;

/**
 * One transport connection as the gate sees it: asked about once, told about once when it closes. A proxy may send several
 * clients' requests over one connection: then each client is asked about, so that nobody gets another's answer.
 */
export class OpenConnection {
  readonly signal: AbortSignal;
  /** What CONN_CLOSE will tell. */
  last: { stream: StreamName; host: string; protocol: string; url: string };
  readonly #triggers: Triggers;
  /** CONN_OPEN by client address. */
  readonly #opened = new Map<string, Promise<Verdict>>();
  /** CONN_PLAY by session and stream. */
  readonly #played = new Map<string, Promise<Verdict>>();
  readonly #held = new Set<Disposable>();
  readonly #running: Set<Promise<unknown>>;
  /** What is to be told after CONN_CLOSE; undefined when that was told. */
  #afterwards: (() => Promise<unknown>)[] | undefined = [];
  #token: string | undefined;
  #letIn = false;

  /** `running` gets what is being told until it was. */
  constructor(triggers: Triggers, signal: AbortSignal, last: OpenConnection["last"], running: Set<Promise<unknown>>) {
    this.#triggers = triggers;
    this.#running = running;
    this.signal = signal;
    this.last = last;
  }

  /** The identity of clients that keep no token: one for each connection, and not to be guessed from outside. */
  get token(): string {
    return (this.#token ??= generateToken());
  }

  /** Asks CONN_OPEN, once for each client. Rejects with "access.denied". */
  async open(stream: StreamName, host: string, asked: StreamName, request: AccessRequest, hears?: Hearer): Promise<void> {
    const { protocol } = request;
    await answered(this.#opened, host, () =>
      this.#triggers.wants("CONN_OPEN", stream)
        ? this.#triggers.fire("CONN_OPEN", { stream, host, protocol, url: "", ...detailsOf(request, asked) }, this.signal, hears?.told)
        : Promise.resolve({ kind: "allow" }),
    );
    this.#letIn = true;
  }

  /** Asks CONN_PLAY, once for each session and stream. Rejects with "access.denied". */
  async play(
    stream: StreamName,
    host: string,
    asked: StreamName,
    request: AccessRequest,
    sessionId: string,
    hears?: Hearer,
  ): Promise<void> {
    const { protocol, url } = request;
    await answered(this.#played, `${sessionId} ${host} ${stream}`, () =>
      this.#triggers.wants("CONN_PLAY", stream)
        ? this.#triggers.fire("CONN_PLAY", { stream, host, protocol, url, ...detailsOf(request, asked) }, this.signal, hears?.told)
        : Promise.resolve({ kind: "allow" }),
    );
  }

  /** True if CONN_OPEN has said yes, now or when it answers. */
  async wasOpened(): Promise<boolean> {
    const verdicts = await Promise.all(this.#opened.values());
    return this.#letIn || verdicts.some(({ kind }) => kind === "allow");
  }

  /** Disposes `what` when the connection closes, if its owner has not done so before. */
  hold(what: Disposable): void {
    if (this.signal.aborted) what[Symbol.dispose]();
    else this.#held.add(what);
  }

  release(what: Disposable): void {
    this.#held.delete(what);
  }

  close(): void {
    for (const what of this.#held) what[Symbol.dispose]();
    this.#held.clear();
  }

  /** Fires a notification after CONN_CLOSE. */
  tellAfterwards(fire: () => Promise<unknown>): void {
    if (this.#afterwards) this.#afterwards.push(fire);
    else this.tell(fire);
  }

  /** Fires a notification; who waits for the connections waits for it too. */
  tell(fire: () => Promise<unknown>): void {
    const fired = fire();
    this.#running.add(fired);
    void fired.finally(() => this.#running.delete(fired));
  }

  /** CONN_CLOSE was told: what had to wait for it is told now. */
  closeTold(): void {
    const waiting = this.#afterwards ?? [];
    this.#afterwards = undefined;
    for (const fire of waiting) this.tell(fire);
  }

  /** Throws "access.ended" when the client has gone while it was decided about. */
  stillThere(): void {
    if (this.signal.aborted) throw new SluiceError("access.ended", "The connection has closed.");
  }
}

/**
 * All connections that have asked for something: CONN_OPEN before the first answer, CONN_CLOSE when they close.
 * As in MistServer the URL of CONN_OPEN is empty, and for publishers the stream too: it is not decided yet.
 * A connection that CONN_OPEN has refused gets no CONN_CLOSE.
 */
export class Connections {
  readonly #triggers: Triggers;
  readonly #log: Log;
  readonly #open = new Map<number, OpenConnection>();
  readonly #running = new Set<Promise<unknown>>();

  constructor(triggers: Triggers, log: Log) {
    this.#triggers = triggers;
    this.#log = log;
  }

  /** The request's connection, after CONN_OPEN has said yes. Rejects with "access.denied". */
  async open(request: AccessRequest, stream: StreamName, asked: StreamName, host: string, hears?: Hearer): Promise<OpenConnection> {
    const { id, signal } = request.connection;
    let connection = this.#open.get(id);
    if (!connection) {
      if (signal.aborted) throw new SluiceError("access.ended", "The connection has closed.");
      const created = new OpenConnection(
        this.#triggers,
        signal,
        { stream, host, protocol: request.protocol, url: request.url },
        this.#running,
      );
      this.#open.set(id, created);
      signal.addEventListener("abort", () => this.#onClosed(id, created), { once: true });
      connection = created;
    }
    await connection.open(stream, host, asked, request, hears);
    connection.stillThere();
    return connection;
  }

  /** Resolves when everything that was to be told of connections has been. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #onClosed(id: number, connection: OpenConnection): void {
    const closing = this.#closed(id, connection);
    this.#running.add(closing);
    void closing.finally(() => this.#running.delete(closing));
  }

  async #closed(id: number, connection: OpenConnection): Promise<void> {
    this.#open.delete(id);
    try {
      connection.close();
      if (!(await connection.wasOpened())) return;
      if (this.#triggers.wants("CONN_CLOSE", connection.last.stream)) await this.#triggers.fire("CONN_CLOSE", connection.last);
      connection.closeTold();
    } catch (error) {
      this.#log.write("ERROR", `A connection could not be cleaned up: ${messageOf(error)}`);
    }
  }
}

/** The remembered answer of `key`, or that of `ask`. Rejects with "access.denied" when it is a no. */
async function answered(answers: Map<string, Promise<Verdict>>, key: string, ask: () => Promise<Verdict>): Promise<void> {
  let verdict = answers.get(key);
  if (!verdict) {
    verdict = ask();
    answers.set(key, verdict);
    const [oldest] = answers.keys();
    if (answers.size > mostAnswers && oldest !== undefined) answers.delete(oldest);
  }
  const decided = await verdict;
  if (decided.kind === "deny") throw new SluiceError("access.denied", decided.reason);
}
