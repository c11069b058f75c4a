import { messageOf, SluiceError } from "../base/errors.ts";
import { isTriggerName } from "../triggers/payload.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "../triggers/table.ts";
import { parsePayload } from "../triggers/wire.ts";

/** A call of a MistServer, read. */
export type Call<K extends TriggerName = TriggerName> = {
  readonly name: K;
  readonly payload: Payload<K>;
  readonly body: string;
  /** All attempts of one question share it; undefined where the MistServer does not send it. */
  readonly uuid: string | undefined;
};

/** A URL of the Livepeer fork may stand in the seventh line of USER_NEW, where others say whether the token is a JWT. */
const lastOfUserNew = /^(?:true|false|[a-z][a-z0-9+.-]*:\/\/\S*|)$/i;

/** The trigger that a request names. Throws "input.invalid". */
export function triggerOf(headers: Headers): TriggerName {
  const name = headers.get("x-trigger");
  if (name === null)
    throw new SluiceError("input.invalid", "this is no call of a trigger: the header X-Trigger, which MistServer sends, is not there");
  if (!isTriggerName(name)) throw new SluiceError("input.invalid", "the header X-Trigger names a trigger that is not known here");
  return name;
}

/** A request's body, of at most so many bytes. Throws "input.oversized" and reads no further; rejects when the client goes away. */
export async function bodyOf(request: Request, maxBytes: number): Promise<Uint8Array> {
  const oversized = new SluiceError("input.oversized", `the call is longer than ${maxBytes} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw oversized;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw oversized;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * Reads a call's body by the table: names and types of fields, the query from the URL's line, `asked` from the stream; what a
 * MistServer does not tell (headers, cookies) is empty. Where somebody is let in nothing is guessed: MistServer does not escape line
 * breaks in names and tokens, so a body with a line too many, a control character or bytes that are no UTF-8 throws "input.invalid".
 */
export function readCall<K extends TriggerName>(name: K, bytes: Uint8Array, headers: Headers): Call<K> {
  const definition: TriggerDefinition = triggers[name];
  const asked = definition.answer !== "notify";
  let body: string;
  try {
    body = new TextDecoder("utf-8", { fatal: asked, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SluiceError("input.invalid", `the call of ${name} holds bytes that are no text (UTF-8)`, { cause });
  }
  if (definition.access) checkLines(name, body);
  let payload: Payload<K>;
  try {
    payload = parsePayload(name, body);
  } catch (error) {
    throw new SluiceError("input.invalid", messageOf(error), { cause: error });
  }
  return { name, payload, body, uuid: headers.get("x-trigger-uuid") ?? undefined };
}

function checkLines(name: TriggerName, body: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what this finds
  if (/[\u0000-\u0009\u000b-\u001f\u007f]/.test(body))
    throw new SluiceError("input.invalid", `the call of ${name} holds control characters, so its lines may not be what they seem`);
  const lines = body.split("\n");
  const most = Object.keys(triggers[name].fields).length;
  const shifted = name === "USER_NEW" && lines.length === most && !lastOfUserNew.test(lines.at(-1) ?? "");
  if (lines.length > most || shifted) {
    const which = shifted ? "line 7 is neither true nor false" : `${lines.length} lines instead of ${most}`;
    throw new SluiceError(
      "input.invalid",
      `the call of ${name} has a line break where none may be (${which}), as a name or a token may hold one`,
    );
  }
}
