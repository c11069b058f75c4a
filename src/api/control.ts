import type { FallbackRules } from "../access/fallback/fallback-rules.ts";
import type { PendingPushes } from "../access/pending-pushes.ts";
import type { ServerControl, Viewer } from "../base/server-control.ts";
import type { Sessions, SessionView } from "../sessions/session.ts";
import type { StreamDirectory } from "../streams/stream.ts";

/** What handlers can ask and do, over the same parts as the API. */
export function createControl({
  directory,
  sessions,
  fallbackRules,
  pending,
}: {
  readonly directory: StreamDirectory;
  readonly sessions: Sessions;
  readonly fallbackRules: Pick<FallbackRules, "add">;
  readonly pending: PendingPushes;
}): ServerControl {
  const watching = (stream?: string): SessionView[] =>
    sessions
      .list()
      .filter(
        (session) => session.type === "viewer" && session.state === "accepted" && (stream === undefined || session.stream === stream),
      );
  return {
    liveStreams: () =>
      directory
        .list()
        .filter((stream) => stream.kind === "live" && stream.state === "ready")
        .map((stream) => stream.name)
        .toSorted(),
    viewers: (stream) => watching(stream).map(viewerOf),
    egress: (stream) => watching(stream).reduce((bits, session) => bits + session.upPerSecond * 8, 0),
    invalidateSessions: (streams) => sessions.invalidate(typeof streams === "string" ? [streams] : streams),
    keepViewers: (streams, rule) => fallbackRules.add(typeof streams === "string" ? [streams] : streams, rule),
    publishing: (stream) =>
      sessions.list().some((session) => session.type === "input" && session.state === "accepted" && session.stream === stream),
    recheckTagged: (tag) => sessions.invalidate({ tags: [tag] }),
    stopTagged: (tag, reason) => pending.stopTagged(tag, reason) + sessions.stop((session) => session.tags.includes(tag), reason),
    onRefused: (run) => sessions.onRefuse(run),
    onPushRefused: (run) => pending.onRefused(run),
    stopSessions: (ids) => {
      const picked = new Set(ids);
      return sessions.stop((session) => picked.has(session.id), "the session was stopped by the operator's code");
    },
  };
}

function viewerOf(session: SessionView): Viewer {
  return {
    sessionId: session.id,
    stream: session.stream,
    host: session.host,
    token: session.token,
    protocol: session.protocol,
    seconds: session.seconds,
    egress: session.upPerSecond * 8,
  };
}
