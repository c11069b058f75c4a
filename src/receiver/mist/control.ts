import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { ServerControl, Viewer } from "../../base/server-control.ts";
import type { Clock } from "../../base/time.ts";
import { createClock } from "../../host/clock.ts";
import type { Payload } from "../../triggers/table.ts";
import type { Decided } from "../answerer.ts";
import type { MistClient } from "./client.ts";
import { Rechecks } from "./rechecks.ts";
import { HeldSessions } from "./sessions.ts";
import type { MistClientRow } from "./shapes.ts";

export type MistControlOptions = {
  readonly client: Pick<MistClient, "clients" | "activeStreams" | "invalidateSessions" | "stopSessid">;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Milliseconds between two looks at the MistServer; 1000 if left out. */
  readonly everyMs?: number;
};

/**
 * What handlers can ask of a MistServer and have it do, over its API. What it plays, and to whom, is looked at every second. Asked
 * while that is not known it throws "source.failed"; what a MistServer cannot do at all throws "config.invalid".
 */
export interface MistControl extends ServerControl, Disposable {
  /** Resolves when the MistServer was looked at; rejects when it cannot be reached. */
  look(): Promise<void>;
  /** Gets each answer: it keeps what a MistServer does not keep (tags, users, limits, the end of a yes). Gives why a yes cannot be, if so. */
  readonly decided: Decided;
}

/** What was seen longer ago is not known any more. */
const staleMs = 10_000;
/** A session that was let in shows up in `clients` after this time at the latest. */
const unseenMs = 20_000;

const silent: Log = { write: () => {} };

/** Makes the control, which looks at the MistServer from now on. */
export function createMistControl({ client, clock = createClock(), log = silent, everyMs = 1000 }: MistControlOptions): MistControl {
  const held = new HeldSessions();
  const rechecks = new Rechecks(clock, log, (stream) => client.invalidateSessions([stream]));
  let seen: { readonly at: number; readonly rows: readonly MistClientRow[]; readonly live: readonly string[] } | undefined;
  let looking: Promise<void> | undefined;
  let failure = "it was not looked at yet";

  const look = (): Promise<void> => {
    looking ??= Promise.all([client.clients(), client.activeStreams(["status"])])
      .then(
        ([rows, streams]) => {
          const live = Object.keys(streams).filter((name) => streams[name]?.["status"] === "Online");
          seen = { at: clock.monotonic(), rows, live: live.toSorted() };
        },
        (error: unknown) => {
          failure = messageOf(error);
          throw error;
        },
      )
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  const timer = clock.every(everyMs, () => void look().catch(() => {}));
  const now = (): NonNullable<typeof seen> => {
    if (seen && clock.monotonic() - seen.at <= staleMs) return seen;
    throw new SluiceError("source.failed", `what the MistServer plays is not known now: ${failure}`);
  };
  const viewers = (stream?: string): readonly MistClientRow[] =>
    now().rows.filter((row) => !row.protocol.includes(":") && (stream === undefined || row.stream === stream));
  const publishers = (stream: string): readonly MistClientRow[] =>
    now().rows.filter((row) => row.protocol.startsWith("INPUT") && row.stream === stream);
  const stop = (ids: readonly string[]): number => {
    if (ids.length > 0)
      void client
        .stopSessid(ids)
        .catch((error: unknown) => log.write("ERROR", `${ids.length} sessions could not be ended: ${messageOf(error)}`));
    return ids.length;
  };
  const invalidate = async (streams: readonly string[]): Promise<void> => {
    if (streams.length > 0) await client.invalidateSessions(streams);
  };

  const admitted = (payload: Payload<"USER_NEW">, outcome: Parameters<Decided>[2]): string | undefined => {
    if (outcome?.kind !== "allow") {
      held.delete(payload.sessionId);
      return undefined;
    }
    if (outcome.limits !== undefined) {
      const { at, rows } = now();
      const there = new Set(rows.map(({ sessid }) => sessid));
      const fresh = clock.now() - unseenMs - (clock.monotonic() - at);
      const full = held.overfull(payload, outcome, ({ id, since }) => there.has(id) || since > fresh);
      if ("reason" in full) return full.reason;
      for (const id of full.oldest) held.delete(id);
      stop(full.oldest);
    }
    held.add(payload, outcome, clock.now());
    rechecks.plan(payload.stream, outcome);
    return undefined;
  };

  return {
    look,
    liveStreams: () => now().live,
    viewers: (stream) => viewers(stream).map((row) => viewerOf(row, held)),
    egress: (stream) => viewers(stream).reduce((bits, { upbps }) => bits + upbps * 8, 0),
    publishing: (stream) => publishers(stream).length > 0,
    async invalidateSessions(streams) {
      const names = [streams].flat();
      await invalidate(names);
      return seen?.rows.filter((row) => !row.protocol.includes(":") && names.includes(row.stream)).length ?? 0;
    },
    async recheckTagged(tag) {
      const sessions = held.tagged(tag);
      await invalidate([...new Set(sessions.map(({ stream }) => stream))]);
      return sessions.length;
    },
    stopTagged: (tag) =>
      stop([
        ...held.tagged(tag).map(({ id }) => id),
        ...held.pushedWith(tag).flatMap((stream) => publishers(stream).map(({ sessid }) => sessid)),
      ]),
    stopSessions: (ids) => stop(ids),
    keepViewers: () => {
      throw new SluiceError(
        "config.invalid",
        "a MistServer cannot keep the viewers of a stream that is offline (offlineFallback); it has `fallback_stream` for each stream",
      );
    },
    decided(name, payload, outcome) {
      if (name === "USER_NEW") {
        try {
          return admitted(payload as Payload<"USER_NEW">, outcome);
        } catch (error) {
          return messageOf(error);
        }
      }
      if (name === "USER_END") held.delete((payload as unknown as Payload<"USER_END">).sessionId);
      if (name === "PUSH_REWRITE" && outcome?.kind === "rewrite") held.pushed(outcome.to, outcome.tags);
      return undefined;
    },
    [Symbol.dispose]() {
      timer[Symbol.dispose]();
      rechecks[Symbol.dispose]();
    },
  };
}

function viewerOf({ sessid, stream, host, protocol, conntime, upbps }: MistClientRow, held: HeldSessions): Viewer {
  return { sessionId: sessid, stream, host, token: held.get(sessid)?.token ?? "", protocol, seconds: conntime, egress: upbps * 8 };
}
