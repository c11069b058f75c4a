import {
  allow,
  type Deny,
  type DenyLife,
  deny,
  type Limits,
  type PushLife,
  rewrite,
  type Scope,
  type Verdict,
  type ViewerLife,
} from "../base/decision.ts";
import { type Duration, durationMs } from "../base/time.ts";
import type { Reading } from "./answer.ts";
import { HandlerFailure } from "./failure/handler-failure.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

type Fields = Readonly<Record<string, unknown>>;

const scopes: readonly Scope[] = ["session", "token", "user", "address"];
const allowLife = ["ttl", "staleFor", "recheckEvery", "expiresAt", "roams", "scope", "user", "tags", "limits", "note"];
const denyLife = ["denyFor", "retryAfter", "scope", "user", "note"];
const takings: readonly string[] = ["refuse", "take-over", "backup"];
const mostUser = 200;
const mostNote = 200;
const mostTags = 32;
const mostTag = 100;
const limitNames = ["user", "token", "address"] as const;
const mostLimits = 8;
const mostReason = 500;

/**
 * Reads the answer of the JSON form: `{"decision": "allow" | "deny" | "rewrite" | "keep", ...}`. Nothing is guessed: an
 * empty answer, an unknown field and one that the trigger cannot use are no answer. Throws `HandlerFailure` that names the field.
 */
export function readJson(name: TriggerName, text: string): Reading {
  if (triggers[name].answer === "notify") return undefined;
  if (text.trim() === "") throw new HandlerFailure('it answered nothing; there must be a decision such as {"decision":"deny"}');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new HandlerFailure("it answered something that is no JSON", { cause });
  }
  if (!isFields(value)) throw new HandlerFailure(`it answered ${shape(value)}; there must be a decision object`);
  const { decision, ...fields } = value;
  const words = decisionsOf(name);
  if (typeof decision !== "string" || !words.includes(decision))
    throw wrong("decision", decision, `for ${name} one of ${words.join(", ")}`);
  const known = [...fieldsOf(name, decision), "reason"];
  for (const field of Object.keys(fields)) {
    if (!known.includes(field)) {
      throw new HandlerFailure(`it answered with \`${field}\`, which ${decision} for ${name} does not have; it has ${known.join(", ")}`);
    }
  }
  if (fields.reason !== undefined && typeof fields.reason !== "string") throw wrong("reason", fields.reason, "a text");
  if (decision === "allow") return readAllow(fields);
  if (decision === "deny") return readDeny(fields);
  if (decision === "keep") return undefined;
  if (typeof fields.to !== "string" || fields.to.trim() === "") throw wrong("to", fields.to, "the new value, a text that is not empty");
  return rewrite(fields.to.trim(), readPush(fields));
}

/** A yes with its life. Throws `HandlerFailure` that names the field. */
export function readAllow(value: Fields): Verdict {
  const life: { -readonly [F in keyof ViewerLife]: ViewerLife[F] } = {};
  for (const field of ["ttl", "staleFor", "recheckEvery"] as const) {
    const duration = readDuration(value, field);
    if (duration !== undefined) life[field] = duration;
  }
  if (life.staleFor !== undefined && life.ttl === undefined) throw wrong("staleFor", value.staleFor, "left out where there is no `ttl`");
  const { expiresAt, roams } = value;
  if (expiresAt !== undefined && !(typeof expiresAt === "number" && Number.isFinite(expiresAt) && expiresAt > 0))
    throw wrong("expiresAt", expiresAt, "a time in Unix milliseconds");
  if (roams !== undefined && typeof roams !== "boolean") throw wrong("roams", roams, "true or false");
  const tags = readTags(value.tags);
  const limits = readLimits(value.limits);
  return allow({
    ...life,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(roams !== undefined && { roams }),
    ...readWho(value),
    ...readNote(value),
    ...(tags && { tags }),
    ...(limits && { limits }),
  });
}

/** A no with its life. Throws `HandlerFailure` that names the field. */
export function readDeny(value: Fields): Deny {
  const reason = typeof value.reason === "string" && value.reason.trim() !== "" ? value.reason : undefined;
  const denyFor = readDuration(value, "denyFor");
  const retryAfter = readDuration(value, "retryAfter");
  if (value.final !== undefined && typeof value.final !== "boolean") throw wrong("final", value.final, "true or false");
  const life: DenyLife = {
    ...(denyFor !== undefined && { denyFor }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...readWho(value),
    ...readNote(value),
    ...(value.final === true && { final: true }),
  };
  return deny(reason, life);
}

/** What a rewrite of a push says beside the name. Throws `HandlerFailure` that names the field. */
export function readPush(value: Fields): PushLife {
  const { whenTaken } = value;
  if (whenTaken !== undefined && !takings.includes(whenTaken as string))
    throw wrong("whenTaken", whenTaken, `one of ${takings.join(", ")}`);
  const tags = readTags(value.tags);
  return {
    ...(whenTaken !== undefined && { whenTaken: whenTaken as NonNullable<PushLife["whenTaken"]> }),
    ...(tags && { tags }),
    ...readNote(value),
  };
}

function readWho(value: Fields): Pick<ViewerLife, "scope" | "user"> {
  const { scope, user } = value;
  if (scope !== undefined && !scopes.includes(scope as Scope)) throw wrong("scope", scope, `one of ${scopes.join(", ")}`);
  if (user !== undefined && !isLine(user, mostUser)) throw wrong("user", user, `a text of 1 to ${mostUser} characters`);
  if (scope === "user" && user === undefined) throw wrong("user", user, 'said where `scope` is "user"');
  return { ...(scope !== undefined && { scope: scope as Scope }), ...(user !== undefined && { user }) };
}

function readNote({ note }: Fields): { readonly note?: string } {
  if (note !== undefined && !isLine(note, mostNote)) throw wrong("note", note, `a text of 1 to ${mostNote} characters`);
  return note === undefined ? {} : { note };
}

function readTags(tags: unknown): readonly string[] | undefined {
  if (tags === undefined) return undefined;
  const fit = Array.isArray(tags) && tags.length <= mostTags && tags.every((tag: unknown) => isLine(tag, mostTag) && !/[[\]]/.test(tag));
  if (!fit) throw wrong("tags", tags, `a list of at most ${mostTags} texts of 1 to ${mostTag} characters without brackets`);
  return [...tags];
}

function readLimits(limits: unknown): ViewerLife["limits"] {
  if (limits === undefined) return undefined;
  if (!Array.isArray(limits)) return readLimit("limits", limits);
  if (limits.length === 0 || limits.length > mostLimits) throw wrong("limits", limits, `one limit, or a list of 1 to ${mostLimits}`);
  return limits.map((limit: unknown, at) => readLimit(`limits[${at}]`, limit));
}

function readLimit(field: string, limit: unknown): Limits {
  const { sessions, per, by, onReached, reason, retryAfter: _retryAfter, ...unknown } = isFields(limit) ? limit : {};
  const counts = typeof sessions === "number" && Number.isSafeInteger(sessions) && sessions >= 1;
  if (!counts || (per !== undefined && per !== "stream") || Object.keys(unknown).length > 0) {
    const more = "`by`, `onReached`, `reason`, `retryAfter`";
    throw wrong(field, limit, `\`sessions\`, a whole number from 1 on, and perhaps \`per\`, which can be "stream", ${more}`);
  }
  if (by !== undefined && !limitNames.includes(by as never)) throw wrong(`${field}.by`, by, `one of ${limitNames.join(", ")}`);
  if (onReached !== undefined && onReached !== "refuse" && onReached !== "end-oldest")
    throw wrong(`${field}.onReached`, onReached, "refuse or end-oldest");
  if (reason !== undefined && !isLine(reason, mostReason))
    throw wrong(`${field}.reason`, reason, `a text of 1 to ${mostReason} characters`);
  const wait = isFields(limit) ? readDuration(limit, "retryAfter", `${field}.retryAfter`) : undefined;
  return {
    sessions,
    ...(per !== undefined && { per }),
    ...(by !== undefined && { by: by as (typeof limitNames)[number] }),
    ...(onReached !== undefined && { onReached }),
    ...(reason !== undefined && { reason }),
    ...(wait !== undefined && { retryAfter: wait }),
  };
}

function readDuration(value: Fields, field: string, path = field): Duration | undefined {
  const duration = value[field];
  if (duration === undefined) return undefined;
  try {
    durationMs(duration as Duration);
    return duration as Duration;
  } catch {
    throw wrong(path, duration, 'milliseconds as a number, or a duration such as "30s" or "5m"');
  }
}

function decisionsOf(name: TriggerName): readonly string[] {
  return triggers[name].answer === "verdict" ? ["allow", "deny"] : ["rewrite", "keep", "deny"];
}

function fieldsOf(name: TriggerName, decision: string): readonly string[] {
  const definition: TriggerDefinition = triggers[name];
  if (decision === "rewrite") return name.endsWith("PUSH_REWRITE") ? ["to", "whenTaken", "tags", "note"] : ["to", "note"];
  if (decision === "deny") return [...(definition.life ? denyLife : ["note"]), "final"];
  return decision === "allow" && definition.life ? allowLife : [];
}

/** True for a text without control characters that is neither empty nor too long. */
function isLine(value: unknown, most: number): value is string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this finds
  return typeof value === "string" && value !== "" && value.length <= most && !/[\u0000-\u001f\u007f]/.test(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shape(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

/** Shows the kind of what stands there and not the thing: it may hold what no log should. */
function wrong(field: string, value: unknown, wanted: string): HandlerFailure {
  const stands =
    value === undefined || value === null ? "nothing" : Array.isArray(value) ? "a list" : `a ${typeof value} that does not fit`;
  return new HandlerFailure(`in its answer, \`${field}\` is ${stands}; it must be ${wanted}`);
}
