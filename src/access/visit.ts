import { canonicalAddress } from "../base/address.ts";
import { type StreamName, streamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import type { CallTold } from "../triggers/trigger.ts";
import type { TokenVerifier } from "./tokens/verifier.ts";
import { type Hearer, Trace } from "./trace.ts";
import type { Seen } from "./why/witness.ts";

/** One viewer's request on its way through the gate. What is found out on the way is noted here. */
export class Visit implements Hearer {
  readonly request: AccessRequest;
  /** Sanitised; of a JWT in the place of a name the stream that it is for. */
  readonly asked: StreamName;
  readonly host: string;
  /** The JWT that stands in the place of the stream's name; undefined: a name stands there. */
  readonly nameToken: string | undefined;
  token = "";
  /** True when the client brought no token and this one was made for it. */
  madeToken = false;
  /** Of the route. */
  key = "";
  sessionId = "";
  stream: StreamName = "";
  user = "";
  /** True when its identity is that of an earlier request that was let in. */
  known = false;
  /** True when this request began the session. */
  begins = false;
  /** What decided, where the trace does not know. */
  rule: string | undefined;
  readonly #clock: Clock;
  #trace: Trace | undefined;

  constructor(request: AccessRequest, clock: Clock, tokens: TokenVerifier | undefined) {
    const { stream } = request;
    // A JWT has dots; the verifier looks closer.
    const own = stream.includes(".") ? tokens?.streamOf(stream) : undefined;
    this.request = request;
    this.asked = own ?? streamName(stream);
    this.nameToken = own === undefined ? undefined : stream;
    this.host = canonicalAddress(request.address);
    this.#clock = clock;
  }

  /** Made when there is something to note: the hundreds of requests of a session that is known need none. */
  get trace(): Trace {
    return (this.#trace ??= new Trace(this.#clock));
  }

  get told(): CallTold {
    return this.trace.told;
  }

  /** For the book of decisions. */
  seen(kind: Seen["kind"]): Seen {
    const { request, asked, token, sessionId, stream, user, rule, trace } = this;
    return { kind, request, trace, asked, token, sessionId, stream, user, ...(rule !== undefined && { rule }) };
  }
}
