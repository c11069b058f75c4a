import type { TlsDetails } from "../base/tls-details.ts";
import type { AccessRequest } from "../sessions/access-request.ts";

/** What a question about a viewer needs of a request. */
export type AskedWith = Pick<AccessRequest, "stream" | "protocol" | "url" | "query" | "headers" | "cookies" | "tls">;

type Texts = Readonly<Record<string, string>>;
type Pair = readonly [name: string, value: string];
type Pairs = readonly Pair[];

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
  readonly url: string;
  readonly tls?: TlsDetails;
  /** Headers as many others have them. */
  readonly #shared: string;
  /** Its own headers, its cookies, and its query if that does not stand in the URL. */
  readonly #own: string;

  constructor({ stream, protocol, url, tls }: AskedWith, shared: string, own: string) {
    this.stream = stream;
    this.protocol = protocol;
    this.url = url;
    if (tls) this.tls = tls;
    this.#shared = shared;
    this.#own = own;
  }

  get query(): Texts {
    return texts(this.#texts[2] ?? pairsOf(this.url));
  }

  get cookies(): Texts {
    return texts(this.#texts[1] ?? []);
  }

  get headers(): Texts {
    return texts([...(JSON.parse(this.#shared) as Pairs), ...(this.#texts[0] ?? [])]);
  }

  get #texts(): readonly (Pairs | undefined)[] {
    return this.#own === "" ? [] : (JSON.parse(this.#own) as readonly Pairs[]);
  }
}

/** Makes the requests of living sessions small. Players of one kind send the same headers: those are kept once. */
export class KeptRequests {
  readonly #shared = new Map<string, string>();

  /** The same request, without what no later question needs: the connection, for one. */
  keep(request: AskedWith): AskedWith {
    if (request instanceof KeptRequest) return request;
    const shared: Pair[] = [];
    const others: Pair[] = [];
    for (const pair of Object.entries(request.headers)) (own.has(pair[0]) ? others : shared).push(pair);
    const kept: Pairs[] = [others, Object.entries(request.cookies)];
    const query = Object.entries(request.query);
    if (!isSame(texts(pairsOf(request.url)), query)) kept.push(query);
    const text = kept.every(({ length }) => length === 0) && kept.length === 2 ? "" : JSON.stringify(kept);
    return new KeptRequest(request, this.#once(JSON.stringify(shared)), text);
  }

  #once(text: string): string {
    const known = this.#shared.get(text);
    if (known !== undefined) return known;
    this.#shared.set(text, text);
    if (this.#shared.size > mostShared) for (const oldest of this.#shared.keys()) return (this.#shared.delete(oldest), text);
    return text;
  }
}

/** The parameters of a URL, as they are read from a request. */
function pairsOf(url: string): Pairs {
  const query = url.indexOf("?");
  return query < 0 ? [] : [...new URLSearchParams(url.slice(query))];
}

function isSame(one: Texts, other: Pairs): boolean {
  return Object.keys(one).length === other.length && other.every(([name, value]) => one[name] === value);
}

/** The first of several values of one name counts. Names are the client's: `__proto__` must stay a name like any other. */
function texts(pairs: Pairs): Texts {
  const made = Object.create(null) as Record<string, string>;
  for (const [name, value] of pairs) made[name] ??= value;
  return made;
}
