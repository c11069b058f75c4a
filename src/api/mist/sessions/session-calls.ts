import { messageOf } from "../../../base/errors.ts";
import { baseName } from "../../../base/stream-name.ts";
import type { SessionView } from "../../../sessions/session.ts";
import type { ApiParts } from "../../parts.ts";
import { type Call, fitsStream, isObject, textsOf } from "../call.ts";

const reason = "The session was ended by a command.";

/** Steering sessions and streams. As in MistServer none of these adds a member to the answer; the log tells how many were meant. */
export const sessionCalls: readonly Call[] = [
  {
    name: "nuke_stream",
    async run(value, { parts }) {
      for (const name of textsOf(value)) {
        const ended = await parts.directory.end(name, { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" });
        parts.log.write("INFO", ended ? "The stream was ended through the API" : "There is no such stream to end", { stream: name });
      }
    },
  },
  {
    name: "no_unconfigured_streams",
    async run(_value, { parts }) {
      const { configuration, directory, log } = parts;
      // Names that are not configured are meant to play when there is a source for them.
      if (configuration.defaultSource !== undefined) return;
      const strangers = directory.list().filter(({ name }) => configuration.stream(baseName(name)) === undefined);
      for (const { name } of strangers) await directory.end(name, { code: "CLEAN_CONTROLLER_REQ", text: "it is not configured" });
      log.write("INFO", `${strangers.length} streams that are not configured were ended through the API`);
    },
  },
  {
    name: "invalidate_sessions",
    run: (value, { parts }) => invalidate(parts, "streams", value),
  },
  {
    name: "invalidate_sessid",
    run: (value, { parts }) => invalidate(parts, "ids", value),
  },
  {
    name: "stop_sessions",
    run(value, { parts }) {
      const rules = stopRules(value);
      if (rules.length > 0) stop(parts, (session) => rules.some((rule) => rule(session)));
    },
  },
  {
    name: "stop_sessid",
    run(value, { parts }) {
      const ids = new Set(textsOf(value));
      if (ids.size > 0) stop(parts, ({ id }) => ids.has(id));
    },
  },
  {
    name: "stop_tag",
    run(value, { parts }) {
      const tags = new Set(textsOf(value));
      if (tags.size > 0) stop(parts, (session) => session.tags.some((tag) => tags.has(tag)));
    },
  },
  tagCall("tag_sessid", "tag"),
  tagCall("untag_sessid", "untag"),
];

function invalidate({ sessions, log }: ApiParts, what: "streams" | "ids", value: unknown): void {
  const wanted = textsOf(value).filter((name) => name !== "");
  if (wanted.length === 0) return;
  // Handlers may take seconds; the answer does not wait for theirs.
  sessions.invalidate({ [what]: wanted }).then(
    (count) => log.write("INFO", `Sessions asked about again through the API: ${count}`),
    (error: unknown) => log.write("ERROR", `Sessions could not be asked about again: ${messageOf(error)}`),
  );
}

/** An object of session id and tag, or tags. */
function tagCall(name: string, how: "tag" | "untag"): Call {
  return {
    name,
    run(value, { parts }) {
      if (!isObject(value)) return;
      for (const [id, tags] of Object.entries(value)) {
        for (const tag of textsOf(tags)) {
          if (parts.sessions[how](id, tag)) continue;
          parts.log.write(
            "WARN",
            how === "tag" ? "There is no such session to tag" : "There is no such session to untag, or it has no such tag",
          );
        }
      }
    },
  };
}

function stop({ sessions, log }: ApiParts, pick: (session: SessionView) => boolean): void {
  const count = sessions.stop(pick, reason);
  log.write("INFO", `Sessions ended through the API: ${count}`);
}

type Rule = (session: SessionView) => boolean;

/**
 * A text is a stream (`base+` and `*` are patterns), every protocol. In an object the key is the stream and the value the protocol, "" stands for any.
 * A list of texts means protocols on all streams, as in MistServer's code (its documentation says streams); what is
 * nested is read by the same rules.
 */
function stopRules(value: unknown): readonly Rule[] {
  if (typeof value === "string") return value === "" ? [] : [rule(value, "")];
  if (Array.isArray(value)) return value.flatMap((item) => (typeof item === "string" ? protocolRule("", item) : stopRules(item)));
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([stream, item]) => {
    if (typeof item === "string") return protocolRule(stream, item);
    if (item === null || typeof item === "boolean") return protocolRule(stream, "");
    return stopRules(item);
  });
}

/** Nothing at all for both being "": that would be every session of the server, by mistake most likely. */
function protocolRule(stream: string, protocol: string): readonly Rule[] {
  return stream === "" && protocol === "" ? [] : [rule(stream, protocol)];
}

function rule(stream: string, protocol: string): Rule {
  return (session) =>
    (stream === "" || fitsStream(stream, session.stream)) && (protocol === "" || session.protocol.split(",").includes(protocol));
}
