import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import { spellObject, Spelled } from "./mist/spelled.ts";

/** A request for the JSON API as it came over HTTP. */
export type CommandRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly body: string;
};

/** What was found: a command, nothing, or something that was meant as one and cannot be read. */
export type FoundCommand =
  | { readonly kind: "command"; readonly command: Readonly<Record<string, unknown>> }
  | { readonly kind: "none" }
  | { readonly kind: "broken"; readonly reason: string };

/**
 * Finds the command: a JSON body (declared as JSON, with or without charset, or not declared but beginning with a brace),
 * or `command` in an urlencoded body or in the query. `/api` and `/api2` without one mean the empty command.
 */
export function findCommand(request: CommandRequest): FoundCommand {
  const text = commandText(request);
  const isApi = request.path === "/api" || request.path === "/api2";
  if (text === undefined || text.trim() === "") return isApi ? { kind: "command", command: {} } : { kind: "none" };
  try {
    return { kind: "command", command: parseObject(text) };
  } catch (error) {
    if (isSluiceError(error, "input.invalid")) return { kind: "broken", reason: messageOf(error) };
    throw error;
  }
}

function commandText({ query, contentType, body }: CommandRequest): string | undefined {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  if (body !== "") {
    const isJson = type === "application/json" || type.endsWith("+json") || /^\s*\{/.test(body);
    if (isJson) return body;
    if (type === "application/x-www-form-urlencoded" || type === "") {
      const command = new URLSearchParams(body).get("command");
      if (command !== null) return command;
    }
  }
  return query.get("command") ?? undefined;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SluiceError("input.invalid", `The command is no valid JSON: ${positionOf(error)}`, { cause: error });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw new SluiceError("input.invalid", 'The command must be a JSON object, such as {"active_streams":true}');
}

/** Where the JSON is wrong, without the text itself: it may hold a password. */
function positionOf(error: unknown): string {
  return /at position \d+( \(line \d+ column \d+\))?|Unexpected end of JSON input/.exec(messageOf(error))?.[0] ?? "it cannot be read";
}

/** The JSONP function that the client named (`jsonp` counts before `callback`); undefined unless it is a plain name. */
export function callbackOf(query: URLSearchParams): string | undefined {
  const name = query.get("jsonp") ?? query.get("callback");
  return name !== null && /^[A-Za-z_$][\w$.]{0,99}$/.test(name) ? name : undefined;
}

/** Longer answers are sent as they go; shorter ones have their length told. */
const mostWhole = 256 * 1024;

/** The body of an answer: JSON, wrapped if the client wants JSONP, and two line breaks. Members may be `Spelled`. */
export function answerText(reply: Readonly<Record<string, unknown>>, callback: string | undefined): string {
  return answerPieces(reply, callback).join("");
}

/** The same for an answer that may be long. */
export function answerBody(reply: Readonly<Record<string, unknown>>, callback: string | undefined): string | ReadableStream<Uint8Array> {
  const long = Object.values(reply).some((member) => member instanceof Spelled && member.length > mostWhole);
  if (!long) return answerText(reply, callback);
  const pieces = answerPieces(reply, callback)[Symbol.iterator]();
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = pieces.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
  });
}

function answerPieces(reply: Readonly<Record<string, unknown>>, callback: string | undefined): readonly string[] {
  const json = spellObject(reply);
  if (callback === undefined) return [...json, "\n\n"];
  // In a script these two characters would end a line.
  const script = json.map((piece) => piece.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029"));
  return [`${callback}(`, ...script, ");\n\n"];
}
