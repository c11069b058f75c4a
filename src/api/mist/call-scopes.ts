import type { ApiScope } from "../rest/route.ts";

/** Calls that only look, whatever their value is. */
const looks: ReadonlySet<string> = new Set([
  "active_streams",
  "api_endpoint",
  "capabilities",
  "clients",
  "load",
  "proc_list",
  "push_auto_list",
  "push_list",
  "save",
  "stats_streams",
  "stream_tags",
  "totals",
  "version",
]);

/** Calls that act on what runs and change no setting. */
const acts: ReadonlySet<string> = new Set([
  "invalidate_sessid",
  "invalidate_sessions",
  "nuke_stream",
  "stop_sessid",
  "stop_sessions",
  "stop_tag",
  "tag_sessid",
  "tag_stream",
  "untag_sessid",
  "untag_stream",
]);

/** These look when they are given no object: a client asks `{"config":true}` and `{"streams":1}`. */
const looksWithoutObject: ReadonlySet<string> = new Set(["config", "streams"]);

/** What a caller has to be allowed for a member of a command. A call that stands nowhere here needs the most. */
export function scopeOfCall(name: string, value: unknown): ApiScope {
  if (looks.has(name) || (looksWithoutObject.has(name) && (typeof value !== "object" || value === null))) return "read";
  return acts.has(name) ? "operate" : "admin";
}
