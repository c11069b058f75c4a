import type { TlsDetails } from "../base/tls-details.ts";
import type { AccessRequest } from "../sessions/access-request.ts";

/** What a question about a viewer needs of a request. */
export type AskedWith = Pick<AccessRequest, "stream" | "protocol" | "query" | "headers" | "cookies" | "tls">;

type Texts = Readonly<Record<string, string>>;

/** Sets of headers that are kept once for all who send the same. */
const mostShared = 1_000;
/** Headers that differ from client to client, or from request to request. */
const own: ReadonlySet<string> = new Set(
  "cookie authorization x-forwarded-for x-real-ip forwarded x-request-id traceparent cf-connecting-ip cf-ray range if-none-match".split(
    " ",
  ),
);

/** A request in a few texts: one stays for each session, as its handlers may be asked again; as objects they would be most of it. */
class KeptRequest implements AskedWith {
  readonly stream: string;
  readonly protocol: string;
  readonly tls?: TlsDetails;
  readonly #query: string;
  readonly #cookies: string;
  readonly #shared: string;
  readonly #own: string;

  constructor({ stream, protocol, tls, query, cookies }: AskedWith, headers: { readonly shared: string; readonly own: string }) {
    this.stream = stream;
    this.protocol = protocol;
    if (tls) this.tls = tls;
    this.#query = packed(query);
    this.#cookies = packed(cookies);
    this.#shared = headers.shared;
    this.#own = headers.own;
  }

  get query(): Texts {
    return texts(this.#query);
  }

  get cookies(): Texts {
    return texts(this.#cookies);
  }

  get headers(): Texts {
    return texts(this.#shared, this.#own);
  }
}

/** Makes the requests of living sessions small. Players of one kind send the same headers: those are kept once. */
export class KeptRequests {
  readonly #shared = new Map<string, string>();

  /** The same request, without what no later question needs: the connection, for one. */
  keep(request: AskedWith): AskedWith {
    if (request instanceof KeptRequest) return request;
    const shared: [string, string][] = [];
    const others: [string, string][] = [];
    for (const pair of Object.entries(request.headers)) (own.has(pair[0]) ? others : shared).push(pair);
    return new KeptRequest(request, { shared: this.#once(packed(shared)), own: packed(others) });
  }

  #once(text: string): string {
    const known = this.#shared.get(text);
    if (known !== undefined) return known;
    this.#shared.set(text, text);
    if (this.#shared.size > mostShared) for (const oldest of this.#shared.keys()) return (this.#shared.delete(oldest), text);
    return text;
  }
}

const nothing = "[]";

/** Names are the client's: `__proto__` must stay a name like any other, so pairs are kept and no object. */
function packed(of: Texts | readonly [string, string][]): string {
  const pairs = Array.isArray(of) ? of : Object.entries(of);
  return pairs.length === 0 ? nothing : JSON.stringify(pairs);
}

function texts(...parts: readonly string[]): Texts {
  const made = Object.create(null) as Record<string, string>;
  for (const part of parts) for (const [name, value] of JSON.parse(part) as [string, string][]) made[name] = value;
  return made;
}
