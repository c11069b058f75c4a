import { createHash } from "node:crypto";

/**
 * Entity tags (RFC 9110, 8.8.3). A tag has two halves, `"GUARDED.BODY"`: the first stands for what `If-Match` guards, the second for
 * the whole answer. So a viewer who comes in between does not stop a change of the configuration, and `If-None-Match` still tells
 * the one answer from the other.
 */
export function entityTag(body: string, guarded: string = body): string {
  return `"${digest(guarded)}.${digest(body)}"`;
}

/** True when `If-None-Match` names this tag: the answer is 304. The comparison is the weak one. */
export function isKnown(header: string | undefined, tag: string): boolean {
  return header !== undefined && tagsOf(header).some((one) => one === "*" || plain(one) === tag);
}

/** True when `If-Match` allows a change of what has this tag; undefined: there is nothing. */
export function isMatch(header: string, tag: string | undefined): boolean {
  if (tag === undefined) return false;
  return tagsOf(header).some((one) => one === "*" || guardedHalf(plain(one)) === guardedHalf(tag));
}

function tagsOf(header: string): readonly string[] {
  return header.match(/\*|(W\/)?"[^"]*"/g) ?? [];
}

/** A proxy that packs answers makes tags weak; the tag is meant all the same. */
function plain(tag: string): string {
  return tag.replace(/^W\//, "");
}

function guardedHalf(tag: string): string {
  return tag.replace(/^"/, "").split(".", 1)[0] ?? tag;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}
