import { SluiceError } from "../base/errors.ts";
import { type FieldKind, type Payload, type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

/** What handlers are told about the server. `instance` is new at each start; `serverId` is the configured name and may be empty. */
export type ServerIdentity = {
  readonly version: string;
  readonly instance: string;
  readonly pid: number;
  readonly serverId: () => string;
};

/** One firing of a trigger as text: all handlers and all attempts of it share these values. */
export type Raise = {
  readonly name: TriggerName;
  readonly uuid: string;
  readonly unixMillis: number;
  readonly body: string;
  /** Set when the call must arrive and is repeated until it has; see outbox.ts. */
  readonly delivery?: RaiseDelivery;
};

/** Which attempt this is, from 1, and the call's sequence number (none when it could not be kept). */
export type RaiseDelivery = { readonly attempt: number; readonly sequence: number | undefined };

/** What 64 bits of ones mean: no such value. A JavaScript number cannot hold it exactly. */
const none64 = 2 ** 64;

/**
 * The payload as MistServer writes it: one line for each field in the table's order. A control character in a text field
 * is percent-encoded, so that no token, name or URL can add a line.
 */
export function payloadText<K extends TriggerName>(name: K, payload: Payload<K>): string {
  const definition: TriggerDefinition = triggers[name];
  const values = payload as Readonly<Record<string, unknown>>;
  const lines: string[] = [];
  for (const [field, kind] of Object.entries(definition.fields)) {
    const value = values[field];
    if (value === undefined && definition.optional?.includes(field)) continue;
    lines.push(fieldText(kind, value, definition));
  }
  return lines.join("\n") + (definition.trailingNewline ? "\n" : "");
}

/**
 * Reads a payload. Of the client's request only the query can be known, from the URL; `asked` is the name in the payload. Throws "input.invalid" when there
 * are too few or too many lines, or when a line is not of its kind.
 */
export function parsePayload<K extends TriggerName>(name: K, text: string): Payload<K> {
  const definition: TriggerDefinition = triggers[name];
  const fields = Object.entries(definition.fields);
  const lines = text.split("\n");
  if (lines.length === fields.length + 1 && lines.at(-1) === "") lines.pop();
  const least = fields.length - (definition.optional?.length ?? 0);
  if (lines.length < least || lines.length > fields.length) {
    const expected = least === fields.length ? String(least) : `${least} to ${fields.length}`;
    throw new SluiceError("input.invalid", `A payload of ${name} has ${expected} lines, this one has ${lines.length}`);
  }
  const values: Record<string, unknown> = {};
  for (const [index, [field, kind]] of fields.entries()) {
    const line = lines[index];
    if (line !== undefined) values[field] = fieldValue(name, field, kind, line, definition);
  }
  if (definition.request) {
    const url = typeof values.url === "string" ? values.url : "";
    const asked = typeof values.stream === "string" ? values.stream : "";
    Object.assign(values, { asked, recheck: isRecheck(name, lines.length), query: queryOf(url), headers: {}, cookies: {} });
  }
  return values as Payload<K>;
}

/** JSON as MistServer prints it: no spaces, keys sorted, ASCII only, with upper-case hexadecimal escapes. */
export function mistJson(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(mistJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${quoted(key)}:${mistJson(member)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** Headers of an HTTP handler's request, in the order that MistServer sends them; `Host` is the HTTP client's. */
export function requestHeaders(raise: Raise, server: ServerIdentity, attempt: number): Record<string, string> {
  const { delivery } = raise;
  const serverId = headerText(server.serverId());
  return {
    Accept: "*/*",
    "Content-Length": String(new TextEncoder().encode(raise.body).length),
    "Content-Type": "text/plain",
    Date: dateText(raise.unixMillis),
    "User-Agent": `MistServer/${headerText(server.version)} (Sluice)`,
    "X-Attempt": String(delivery?.attempt ?? attempt),
    ...(server.instance && { "X-Instance": headerText(server.instance) }),
    ...(serverId && { "X-Name": serverId }),
    "X-PID": String(server.pid),
    "X-Trigger": raise.name,
    ...(delivery?.sequence !== undefined && { "X-Trigger-Sequence": String(delivery.sequence) }),
    "X-Trigger-UUID": raise.uuid,
    "X-Trigger-UnixMillis": String(raise.unixMillis),
    "X-UUID": raise.uuid,
    "X-Version": headerText(server.version),
  };
}

/** What an executable handler finds in its environment, beside the server's own. `fallback` is the entry's `default`. */
export function environment(raise: Raise, server: ServerIdentity, fallback: string | undefined): Record<string, string> {
  const serverId = headerText(server.serverId());
  return {
    MIST_TRIGGER: raise.name,
    MIST_TRIG_DEF: fallback ?? "true",
    MIST_PID: String(server.pid),
    ...(server.instance && { MIST_INSTANCE: server.instance }),
    ...(serverId && { MIST_NAME: serverId }),
    MIST_TUUID: raise.uuid,
    ...(raise.delivery && { MIST_ATTEMPT: String(raise.delivery.attempt) }),
    ...(raise.delivery?.sequence !== undefined && { MIST_SEQUENCE: String(raise.delivery.sequence) }),
    MIST_TIME: String(raise.unixMillis),
    MIST_DATE: dateText(raise.unixMillis),
  };
}

/** Local time with its offset: `Tue, 05 Aug 2025 14:03:09 +0200`. */
export function dateText(unixMillis: number): string {
  const date = new Date(unixMillis);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][date.getDay()];
  const month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][date.getMonth()];
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const east = -date.getTimezoneOffset();
  const zone = `${east < 0 ? "-" : "+"}${two(Math.trunc(Math.abs(east) / 60))}${two(Math.abs(east) % 60)}`;
  return `${day}, ${two(date.getDate())} ${month} ${date.getFullYear()} ${time} ${zone}`;
}

function fieldText(kind: FieldKind, value: unknown, definition: TriggerDefinition): string {
  if (kind === "integer") return Number(value) >= none64 ? "18446744073709551615" : String(Math.trunc(Number(value)) || 0);
  if (kind === "json") return isBlank(value, definition) ? "" : mistJson(value);
  return encodeControls(String(value ?? ""));
}

function isBlank(value: unknown, definition: TriggerDefinition): boolean {
  if (value === undefined) return true;
  return definition.blankJson === true && (value === null || Object.keys(value).length === 0);
}

function fieldValue(name: TriggerName, field: string, kind: FieldKind, line: string, definition: TriggerDefinition): unknown {
  if (kind === "text") return line;
  const wrong = (wanted: string, cause?: unknown): SluiceError =>
    new SluiceError("input.invalid", `In a payload of ${name}, the line "${field}" must be ${wanted}`, { cause });
  if (kind === "integer") {
    if (!/^-?\d{1,20}$/.test(line)) throw wrong("a whole number");
    return Number(line);
  }
  if (line === "") return definition.blankJson ? {} : undefined;
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw wrong("JSON", cause);
  }
}

/** MistServer leaves out the last line of USER_NEW when it asks about a viewer again. */
function isRecheck(name: TriggerName, lines: number): boolean {
  return name === "USER_NEW" && lines < Object.keys(triggers.USER_NEW.fields).length;
}

function queryOf(url: string): Record<string, string> {
  const start = url.indexOf("?");
  return start < 0 ? {} : Object.fromEntries(new URLSearchParams(url.slice(start + 1)));
}

/** ASCII and C1 controls, and the two line separators that some languages split at. */
function encodeControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this encodes
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, encodeURIComponent);
}

/** Headers carry printable ASCII; everything else is percent-encoded. */
function headerText(text: string): string {
  return text.toWellFormed().replace(/[^\u0020-\u007e]/gu, encodeURIComponent);
}

function quoted(text: string): string {
  const hex = (code: string): string => `\\u${code.toUpperCase().padStart(4, "0")}`;
  return JSON.stringify(text)
    .replace(/\\(?:u([0-9a-f]{4})|.)/g, (escape, code: string | undefined) => (code === undefined ? escape : hex(code)))
    .replace(/[\u007f-\uffff]/g, (letter) => hex(letter.charCodeAt(0).toString(16)));
}
