import { SluiceError } from "../base/errors.ts";
import { type FieldKind, type Payload, type TriggerDefinition, type TriggerName, triggers } from "./table.ts";
import { parsePayload } from "./wire.ts";

/**
 * A payload that a person wrote: MistServer's lines, or an object with as many fields as they like. What is left out is empty,
 * of a request `query` is read from the URL and `asked` is the stream. Throws "input.invalid" that names the field.
 */
export function completePayload<K extends TriggerName>(name: K, given: unknown): Payload<K> {
  if (typeof given === "string") return parsePayload(name, given);
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new SluiceError("input.invalid", `The payload of ${name} must be an object with its fields, or a text with a line for each`);
  }
  const definition: TriggerDefinition = triggers[name];
  const known = [...Object.keys(definition.fields), ...(definition.request ? [...requestFields] : [])];
  for (const [field, value] of Object.entries(given)) {
    const kind = definition.fields[field];
    if (kind !== undefined) checkField(name, field, kind, value);
    else if (definition.request && field in empty) checkRequest(name, field, value);
    else {
      throw new SluiceError("input.invalid", `${name} has no field "${field}"; it has ${known.join(", ")}`);
    }
  }
  const values: Record<string, unknown> = {};
  for (const [field, kind] of Object.entries(definition.fields)) {
    if (!definition.optional?.includes(field)) values[field] = kind === "text" ? "" : kind === "integer" ? 0 : {};
  }
  const fields = { ...values, ...given } as Record<string, unknown>;
  if (!definition.request) return fields as Payload<K>;
  const url = typeof fields["url"] === "string" ? fields["url"] : "";
  const query = Object.fromEntries(new URLSearchParams(url.split("?")[1]?.split("#")[0] ?? ""));
  return { ...fields, ...empty, asked: fields["stream"] ?? "", query, ...given } as unknown as Payload<K>;
}

const empty = { asked: "", recheck: false, query: {}, headers: {}, cookies: {} } as const;
const requestFields = Object.keys(empty);

function checkField(name: TriggerName, field: string, kind: FieldKind, value: unknown): void {
  if (kind === "json" || typeof value === (kind === "text" ? "string" : "number")) return;
  throw new SluiceError("input.invalid", `${name}.${field} must be a ${kind === "text" ? "text" : "number"}`);
}

function checkRequest(name: TriggerName, field: string, value: unknown): void {
  if (typeof value === typeof empty[field as keyof typeof empty] && value !== null) return;
  throw new SluiceError(
    "input.invalid",
    `${name}.${field} must be a ${field === "recheck" ? "true or false" : field === "asked" ? "text" : "map of texts"}`,
  );
}

/** True for the name of a trigger. */
export function isTriggerName(name: unknown): name is TriggerName {
  return typeof name === "string" && Object.hasOwn(triggers, name);
}
