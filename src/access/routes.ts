import type { Sessions } from "../sessions/session.ts";
import type { Identity } from "../sessions/session.ts";
import type { Stream } from "../streams/stream.ts";
import type { Target } from "./resolver.ts";

/** Where a viewer who was let in gets to. Its identities are kept as objects, so that no id is computed twice. */
export class Route implements Target {
  readonly stream: Stream;
  readonly redirected: boolean;
  /** Most viewers come over one protocol only: that costs no map. */
  #first: Identity | undefined;
  #others: Map<string, Identity> | undefined;

  constructor({ stream, redirected }: Target, identity?: Identity) {
    this.stream = stream;
    this.redirected = redirected;
    this.#first = identity;
  }

  /** The identity under which the viewer was let in over this protocol. */
  identity(protocol: string): Identity | undefined {
    return this.#first?.protocol === protocol ? this.#first : this.#others?.get(protocol);
  }

  /** That of the protocol that came last. */
  get newest(): Identity | undefined {
    return this.#others ? [...this.#others.values()].at(-1) : this.#first;
  }

  keep(identity: Identity): void {
    if (!this.#first || this.#first.protocol === identity.protocol) this.#first = identity;
    else (this.#others ??= new Map()).set(identity.protocol, identity);
  }
}

/** Names that one session may have routes for; whoever tries more loses the oldest. */
const mostOfSession = 32;

/**
 * Remembers which stream a viewer was let in to, by asked name, address and token: the hundreds of requests of one
 * HLS viewer cost one PLAY_REWRITE and one DEFAULT_STREAM. A route lives as long as its session, and while its stream plays:
 * after `stop_sessid` the next request finds its way anew.
 */
export class Routes implements Disposable {
  readonly #routes = new Map<string, Route>();
  /** Keys of a session; one stands here by itself. */
  readonly #bySession = new Map<string, string | readonly string[]>();
  readonly #searches = new Map<string, Promise<Target>>();
  readonly #listener: Disposable;

  constructor(sessions: Pick<Sessions, "onEnd">) {
    this.#listener = sessions.onEnd(({ id }) => {
      for (const key of this.#keysOf(id)) this.#routes.delete(key);
      this.#bySession.delete(id);
    });
  }

  /** Asked names are sanitised; tokens may be any text, so their length goes first. `mark`: what else tells clients apart. */
  key(asked: string, address: string, token: string, mark = ""): string {
    // Joined it is one piece of text; a template would keep all of its pieces as long as the route lives. No name has a line break.
    return [token.length, address, token, mark === "" ? asked : `${asked}\n${mark}`].join(" ");
  }

  /** The route, if `plays` says that its stream still does. */
  find(key: string, plays: (stream: Stream) => boolean): Route | undefined {
    const route = this.#routes.get(key);
    return route && plays(route.stream) ? route : undefined;
  }

  /**
   * Searches for a target, once for all who ask meanwhile. `done` is to be called when the viewer has been let in or refused:
   * until then others get this search's result.
   */
  search(key: string, run: () => Promise<Target>): { readonly target: Promise<Target>; done(): void } {
    const going = this.#searches.get(key);
    if (going) return { target: going, done: () => undefined };
    const target = run();
    this.#searches.set(key, target);
    return { target, done: () => void this.#searches.delete(key) };
  }

  keep(key: string, sessionId: string, route: Route): void {
    const known = this.#routes.get(key);
    this.#routes.set(key, route);
    if (known?.stream === route.stream) return;
    const keys = [...this.#keysOf(sessionId)];
    if (!keys.includes(key)) keys.push(key);
    while (keys.length > mostOfSession) this.#routes.delete(keys.shift() ?? "");
    this.#bySession.set(sessionId, keys.length === 1 ? key : keys);
  }

  get size(): number {
    return this.#routes.size;
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }

  #keysOf(sessionId: string): readonly string[] {
    const keys = this.#bySession.get(sessionId) ?? [];
    return typeof keys === "string" ? [keys] : keys;
  }
}
