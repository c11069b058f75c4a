import type { SessionEnd } from "../../sessions/session.ts";
import type { Payload } from "../../triggers/table.ts";

/** What USER_END tells of a session; enough to tell it later, too. */
export type EndFacts = Pick<SessionEnd, "id" | "token" | "streams" | "protocols" | "hosts" | "seconds" | "up" | "down" | "tags">;

/** Names of a list of uses, as one line. */
export function useNames(list: SessionEnd["streams"]): string {
  return list.map(([name]) => name).join(",");
}

/** Tags as one line: `[a][b]`. */
export function tagText(tags: readonly string[]): string {
  return tags.map((tag) => `[${tag}]`).join("");
}

/** The payload of USER_END. */
export function userEnd(end: EndFacts): Payload<"USER_END"> {
  const seconds = (list: SessionEnd["streams"]): string => list.map(([, count]) => count).join(",");
  return {
    token: end.token,
    streams: useNames(end.streams),
    protocols: useNames(end.protocols),
    hosts: useNames(end.hosts),
    seconds: end.seconds,
    up: end.up,
    down: end.down,
    tags: tagText(end.tags),
    hostSeconds: seconds(end.hosts),
    protocolSeconds: seconds(end.protocols),
    streamSeconds: seconds(end.streams),
    sessionId: end.id,
  };
}
