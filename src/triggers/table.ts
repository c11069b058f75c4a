import type { TlsDetails } from "../base/tls-details.ts";

/**
 * THE table of triggers. Types, wire form, capabilities, reference page and tests follow from it.
 *
 * `fields` are the payload's lines in MistServer's order. `optional` fields may be absent and then add no line.
 * `answer`: "verdict" is a yes or no, "rewrite" may replace a value, "notify" is told and not asked.
 * `empty`: what an empty answer to a rewrite means. `fail`: what holds when a handler fails and says nothing about failure:
 * who asks for access is refused, the server's own life goes on, a rewrite keeps its value.
 * `filter`: the field that stream filters look at; none when filters do not apply.
 * `fired` is false while the feature that would fire it is not there; `unfired` says which one that is.
 */
export type FieldKind = "text" | "integer" | "json";

/** A typed answer of the text form: `configured` is another word for `use-configured`. */
export type TypedAction = "deny" | "keep" | "offline" | "use-configured";

export type TriggerDefinition = {
  readonly answer: "verdict" | "rewrite" | "notify";
  readonly empty?: "deny" | "keep";
  readonly fail?: "allow" | "deny";
  /** Its answer lets somebody in: a function with options has to say what holds when it fails. */
  readonly access?: true;
  readonly filter?: string;
  /** Stream filters see the base name of the stream (before `+`). */
  readonly filterOnBase?: true;
  readonly fields: Readonly<Record<string, FieldKind>>;
  readonly optional?: readonly string[];
  /** MistServer ends the payload with a line break. */
  readonly trailingNewline?: true;
  /** An empty JSON object is written as an empty line. */
  readonly blankJson?: true;
  /** Calls about one stream reach a handler in the order in which they were fired: the later one replaces the earlier. */
  readonly ordered?: true;
  /** A yes or no may carry a life (`ttl`, `denyFor`, ...): the session keeps it. */
  readonly life?: true;
  /** Native handlers also get the client's request: query, headers, cookies, TLS. */
  readonly request?: true;
  readonly fired: boolean;
  readonly unfired?: string;
  readonly when: string;
  /** MistServer's class in `capabilities.triggers`. */
  readonly response: "always" | "when-blocking" | "ignored";
  readonly action: string;
  /** MistServer's `params`: what the argument means. */
  readonly argument?: string;
  /**
   * Words that `X-Mist-Trigger-Action` may say beside `value`. Those of the FrameWorks extension, and `deny` and `keep`
   * where it has no word: there, too, a typed no must not be taken for a failure and become a yes.
   */
  readonly actions?: readonly TypedAction[];
  /** Not in MistServer's own listing of capabilities. */
  readonly unlisted?: true;
};

const connection = { stream: "text", host: "text", protocol: "text", url: "text" } as const;
const output = {
  stream: "text",
  target: "text",
  protocol: "text",
  bytes: "integer",
  seconds: "integer",
  start: "integer",
  end: "integer",
  mediaMs: "integer",
  firstMs: "integer",
  lastMs: "integer",
  code: "text",
  reason: "text",
} as const;

export const triggers = {
  SYSTEM_START: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    fields: { version: "text" },
    fired: true,
    response: "always",
    when: "once, when the server listens and before it says that it is ready",
    action: "No: the server ends.",
  },
  SYSTEM_STOP: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    fields: { reason: "text" },
    fired: true,
    response: "always",
    when: "before the server ends in order",
    action: "No: the server goes on.",
  },
  OUTPUT_START: {
    answer: "notify",
    fields: { config: "json" },
    fired: true,
    response: "ignored",
    when: "a connector with a port of its own listens: after the start, and when it was added while the server runs",
    action: "None.",
  },
  OUTPUT_STOP: {
    answer: "notify",
    fields: { config: "json" },
    fired: true,
    response: "ignored",
    when: "a connector was taken away while the server runs and takes no more connections; not when the server ends",
    action: "None.",
  },
  STREAM_ADD: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", config: "json" },
    fired: true,
    response: "always",
    when: "before a new stream is configured through the API",
    action: "No: it is not added; the log says so.",
  },
  STREAM_CONFIG: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", config: "json" },
    fired: true,
    response: "always",
    when: "before a stream's configuration changes through the API",
    action: "No: the old configuration stays; the log says so.",
  },
  STREAM_REMOVE: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text" },
    fired: true,
    response: "always",
    when: "before a stream's configuration is removed through the API",
    action: "No: it stays; the log says so.",
  },
  STREAM_LOAD: {
    answer: "verdict",
    fail: "deny",
    actions: ["deny"],
    filter: "stream",
    filterOnBase: true,
    fields: { stream: "text" },
    fired: true,
    response: "always",
    when: "before the input of a stream that does not play is started",
    action: "No: the stream stays offline.",
  },
  STREAM_SOURCE: {
    answer: "rewrite",
    empty: "keep",
    actions: ["keep", "offline", "use-configured"],
    filter: "stream",
    filterOnBase: true,
    fields: { stream: "text" },
    fired: true,
    response: "when-blocking",
    when: "right after STREAM_LOAD, when the source is looked up",
    action: "A value is used as the source, also for names that are not configured.",
  },
  STREAM_READY: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", input: "text" },
    fired: true,
    response: "always",
    when: "an input has started to serve",
    action: "No: the input ends.",
  },
  STREAM_UNLOAD: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", input: "text", reason: "text" },
    fired: true,
    response: "always",
    when: "an input wants to end",
    action: "No: it stays loaded if it can.",
  },
  STREAM_PUSH: {
    answer: "verdict",
    fail: "deny",
    access: true,
    actions: ["deny"],
    filter: "stream",
    fields: connection,
    request: true,
    fired: true,
    response: "always",
    when: "before an incoming push is accepted under its final name",
    action: "No: the push is refused.",
  },
  LIVE_TRACK_LIST: {
    answer: "notify",
    filter: "stream",
    fields: { stream: "text", tracks: "json" },
    trailingNewline: true,
    blankJson: true,
    ordered: true,
    fired: true,
    response: "ignored",
    when: "the tracks of a live stream have changed",
    action: "None.",
  },
  STREAM_BUFFER: {
    answer: "notify",
    filter: "stream",
    fields: { stream: "text", state: "text", health: "json" },
    optional: ["health"],
    ordered: true,
    fired: true,
    response: "ignored",
    when: "a live stream's buffer became FULL, DRY, RECOVER or EMPTY; the third line of EMPTY is the last media time, ms, when the server ended the stream, and is left out when the publisher left",
    action: "None.",
  },
  STREAM_END: {
    answer: "notify",
    filter: "stream",
    fields: {
      stream: "text",
      down: "integer",
      up: "integer",
      viewers: "integer",
      inputs: "integer",
      outputs: "integer",
      viewerSeconds: "integer",
    },
    fired: true,
    response: "ignored",
    when: "a stream is offline and its last session has ended",
    action: "None.",
  },
  INPUT_ABORT: {
    answer: "notify",
    filter: "stream",
    fields: { stream: "text", source: "text", binary: "text", pid: "integer", code: "text", reason: "text" },
    fired: true,
    response: "ignored",
    when: "an input could not be opened, was refused by STREAM_READY, could not be read on, or was ended by LIVE_BANDWIDTH",
    action: "None.",
  },
  RTMP_PUSH_REWRITE: {
    answer: "rewrite",
    empty: "deny",
    access: true,
    actions: ["deny", "keep"],
    fields: { url: "text", host: "text" },
    request: true,
    fired: true,
    response: "when-blocking",
    when: "an encoder publishes over RTMP, before PUSH_REWRITE",
    action: "A value is the new URL; its last part is the stream name.",
  },
  PUSH_REWRITE: {
    answer: "rewrite",
    empty: "deny",
    access: true,
    actions: ["deny", "keep"],
    fields: { url: "text", host: "text", stream: "text" },
    request: true,
    fired: true,
    response: "when-blocking",
    when: "an encoder publishes, on every protocol",
    action: "A value is the stream name; none refuses the push.",
  },
  PUSH_OUT_START: {
    answer: "rewrite",
    empty: "deny",
    actions: ["deny", "keep"],
    filter: "stream",
    fields: { stream: "text", target: "text" },
    fired: false,
    unfired: "pushes out and recordings are not there yet",
    response: "when-blocking",
    when: "before a push out or a recording starts",
    action: "A value is the target; none cancels the push.",
  },
  RECORDING_END: {
    answer: "notify",
    filter: "stream",
    fields: output,
    trailingNewline: true,
    fired: false,
    unfired: "recordings are not there yet",
    response: "ignored",
    when: "a recording has ended",
    action: "None.",
  },
  OUTPUT_END: {
    answer: "notify",
    filter: "stream",
    fields: output,
    trailingNewline: true,
    fired: true,
    response: "ignored",
    when: "a lasting output has ended: a viewer of FLV or RTMP (HLS is many requests and has none), or a publisher; the target is empty",
    action: "None.",
  },
  CONN_OPEN: {
    answer: "verdict",
    fail: "deny",
    access: true,
    actions: ["deny"],
    filter: "stream",
    fields: connection,
    request: true,
    fired: true,
    response: "always",
    when: "a connection has been opened, once for each",
    action: "No: it is closed.",
  },
  CONN_CLOSE: {
    answer: "notify",
    filter: "stream",
    fields: connection,
    fired: true,
    response: "ignored",
    when: "a connection has closed",
    action: "None.",
  },
  CONN_PLAY: {
    answer: "verdict",
    fail: "deny",
    access: true,
    actions: ["deny"],
    filter: "stream",
    fields: connection,
    request: true,
    fired: true,
    response: "always",
    when: "a connection is about to play, after the session was let in",
    action: "No: nothing is played.",
  },
  CONN_STOP: {
    answer: "notify",
    filter: "stream",
    fields: { stream: "text", host: "text", protocol: "text" },
    trailingNewline: true,
    fired: true,
    unlisted: true,
    response: "ignored",
    when: "an output has reached the end of the media, before it is closed",
    action: "None.",
  },
  PLAY_REWRITE: {
    answer: "rewrite",
    empty: "deny",
    access: true,
    actions: ["deny", "keep"],
    filter: "stream",
    fields: connection,
    request: true,
    fired: true,
    response: "always",
    when: "a viewer asks for a stream, before it is looked up",
    action: "A value is the stream that is played instead.",
  },
  USER_NEW: {
    answer: "verdict",
    fail: "deny",
    access: true,
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", host: "text", token: "text", protocol: "text", url: "text", sessionId: "text", tokenIsJwt: "text" },
    optional: ["tokenIsJwt"],
    request: true,
    life: true,
    fired: true,
    response: "always",
    when: "a new viewer's session, and again when sessions are invalidated",
    action: "No: the viewer is refused, and that is remembered for 600 seconds.",
  },
  USER_END: {
    answer: "notify",
    filter: "streams",
    fields: {
      token: "text",
      streams: "text",
      protocols: "text",
      hosts: "text",
      seconds: "integer",
      up: "integer",
      down: "integer",
      tags: "text",
      hostSeconds: "text",
      protocolSeconds: "text",
      streamSeconds: "text",
      sessionId: "text",
    },
    fired: true,
    response: "ignored",
    when: "a viewer's session has ended",
    action: "None.",
  },
  LIVE_BANDWIDTH: {
    answer: "verdict",
    fail: "allow",
    actions: ["deny"],
    filter: "stream",
    fields: { stream: "text", bytesPerSecond: "integer" },
    fired: true,
    response: "always",
    when: "the bytes per second that all tracks of a live stream bring in have changed, at most once a second",
    action: "No: the stream is ended and its publisher is told.",
    argument: "Fires only from this many bytes per second on (integer)",
  },
  DEFAULT_STREAM: {
    answer: "rewrite",
    empty: "deny",
    actions: ["deny", "keep"],
    filter: "stream",
    fields: { defaultStream: "text", stream: "text", host: "text", protocol: "text", url: "text" },
    request: true,
    fired: true,
    response: "always",
    when: "a viewer asks for a stream that cannot be opened",
    action: "A value is the stream that is shown instead; none is an error to the viewer.",
  },
  PUSH_END: {
    answer: "notify",
    filter: "stream",
    fields: { id: "integer", stream: "text", target: "text", usedTarget: "text", log: "json", status: "json" },
    fired: false,
    unfired: "pushes out and recordings are not there yet",
    response: "ignored",
    when: "a push out has ended",
    action: "None.",
  },
  LIVEPEER_SEGMENT_REJECTED: {
    answer: "notify",
    filter: "stream",
    fields: { options: "json", segment: "text", track: "json", first: "text", second: "text" },
    fired: false,
    unfired: "it is an event of a transcoding service that Sluice does not have",
    response: "ignored",
    when: "a segment was refused by the transcoding service twice",
    action: "None.",
  },
} as const satisfies Record<string, TriggerDefinition>;

export type TriggerName = keyof typeof triggers;

/** Triggers whose answer lets somebody in. */
export type AccessTrigger = { [K in TriggerName]: (typeof triggers)[K] extends { readonly access: true } ? K : never }[TriggerName];

type Value = { readonly text: string; readonly integer: number; readonly json: unknown };
type Table = typeof triggers;
type OptionalField<K extends TriggerName> = Table[K] extends { readonly optional: readonly (infer F)[] } ? F : never;

/** The client's request as far as it was readable; native handlers get it beside the payload's fields. */
export type RequestDetails = {
  /** The stream name as the client asked for it (sanitised), before any rewriting. */
  readonly asked: string;
  /** True when a session that was let in is asked about again. */
  readonly recheck: boolean;
  /** The connector over which the client has come: `RTMP`, `HLS`, ... */
  readonly connector?: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: Readonly<Record<string, string>>;
  /** The TLS of the client's connection; not there without TLS, or when a proxy in front has it and does not tell. */
  readonly tls?: TlsDetails;
};

/** What a handler of trigger `K` gets, typed by the table. */
export type Payload<K extends TriggerName> = {
  readonly [F in keyof Table[K]["fields"] as F extends OptionalField<K> ? never : F]: Table[K]["fields"][F] extends FieldKind
    ? Value[Table[K]["fields"][F]]
    : never;
} & {
  readonly [F in keyof Table[K]["fields"] as F extends OptionalField<K> ? F : never]?: Table[K]["fields"][F] extends FieldKind
    ? Value[Table[K]["fields"][F]]
    : never;
} & (Table[K] extends { readonly request: true } ? RequestDetails : unknown);
