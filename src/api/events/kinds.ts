import type { ApiScope } from "../rest/route.ts";

type KindDefinition = {
  /** What the caller has to be allowed. */
  readonly scope: ApiScope;
  /** How many of the last events can be read again. */
  readonly kept: number;
  readonly meaning: string;
  /** The member of the snapshot that it goes on from, and what that holds. */
  readonly snapshot: readonly [member: string, meaning: string];
  /** The values of `type`, each with what it means and what stands beside it. */
  readonly types: Readonly<Record<string, string>>;
};

/** Everything that `/api/v1/events` tells, as the reference page shows it. */
export const eventKinds = {
  stream: {
    scope: "read",
    kept: 2048,
    meaning: "What plays, from its beginning to its end.",
    snapshot: ["streams", "all streams that play or are about to"],
    types: {
      opened:
        "A name has a publisher or an input. `stream`: `name`, `kind` (`live`, `vod`), `state`, `tracks`, `tags`, `viewers`, `inputs`, `outputs`.",
      state: "`state` is another one: `waiting` (for data), `ready` (every output starts at once), `shutdown`. `stream` as above.",
      tracks: "Tracks have come, gone or changed. `stream` as above.",
      viewers: "`stream` has only `name`, `viewers`, `inputs`, `outputs`: at most once a second, when one of them is another one.",
      closed: "It plays no more. `stream` as above with the state `offline`; `reason` says why.",
    },
  },
  session: {
    scope: "read",
    kept: 8192,
    meaning: "Who is connected, and what came of it. Tokens are never shown.",
    snapshot: ["sessions", "all living sessions"],
    types: {
      begun:
        "It was let in. `session`: `id`, `type`, `state`, `stream`, `host`, `protocol`, `user`, `tags`, `startedAt`, `seconds`, `up`, `down`.",
      changed: "Its tags or its user may be others. `session` as above.",
      ended:
        "`session` as above, with the totals, and `streams`, `protocols`, `hosts`: lists of a name and its seconds. `reason` says why.",
    },
  },
  decision: {
    scope: "read",
    kept: 2048,
    meaning: "Who was let in, refused, asked about again, or ended, and why.",
    snapshot: ["decisions", "the last 100, oldest first"],
    types: {
      made: "`decision`: `id`, `at`, `kind`, `result`, `reason`, `rule`, `sessionId`, `address`, `protocol`, `asked`, `stream`, `user`, `tokenHash`, `steps`.",
    },
  },
  limit: {
    scope: "read",
    kept: 1024,
    meaning: "A limit was reached, or is free again.",
    snapshot: ["limits", "all counters that are in use"],
    types: {
      closed: "It was reached. `limit`: `name`, `rule`, `key`, `measure`, `used`, `most`, `closed`, `refused`.",
      open: "It is at its safe mark, and lets in again. `limit` as above.",
    },
  },
  fallback: {
    scope: "read",
    kept: 1024,
    meaning: "Viewers of a stream that has gone offline are shown something else, or are back.",
    snapshot: ["fallbacks", "all streams whose viewers are kept"],
    types: {
      changed:
        "`fallback`: `stream`, `shows` (`live`, another stream's name, `recording`, `nothing`), `offlineSince` (Unix milliseconds, while it is offline), `liveAgain`, `switch`.",
    },
  },
  log: {
    scope: "operate",
    kept: 1024,
    meaning: "The lines of the log.",
    snapshot: ["log", "the last 100 lines, oldest first"],
    types: { line: "`log`: `unix` (seconds), `kind`, `message`, `stream`." },
  },
} as const satisfies Readonly<Record<string, KindDefinition>>;

export type EventKind = keyof typeof eventKinds;
export const eventKindNames = Object.keys(eventKinds) as readonly EventKind[];

export function isEventKind(name: string): name is EventKind {
  return Object.hasOwn(eventKinds, name);
}

/** The page docs/reference/events.md. */
export function eventReference(): string {
  const sections = Object.entries<KindDefinition>(eventKinds).map(([kind, { scope, kept, meaning, snapshot, types }]) => {
    const rows = Object.entries(types).map(([type, words]) => `| \`${type}\` | ${words} |`);
    return `## ${kind}

${meaning} Scope \`${scope}\`; the last ${kept} can be read again. In the snapshot: \`${snapshot[0]}\`, ${snapshot[1]}.

| \`type\` | |
|---|---|
${rows.join("\n")}
`;
  });
  return `# Events

Made from \`src/api/events/kinds.ts\`. \`GET /api/v1/events\` on the API port answers with server-sent events: first what there is, then each change.

    curl -N 'http://localhost:4242/api/v1/events?kinds=stream,session&stream=live'

| parameter | |
|---|---|
| \`kinds\` | Kinds with commas between them. Left out: all that the caller may see. |
| \`stream\` | Only what is about this stream; \`live+\` for all streams below \`live\`. |
| \`lastEventId\` | As the header \`Last-Event-ID\`, for clients that cannot send it. |

* The first event is \`event: snapshot\`: one JSON object with a member for each kind.
* Each other event is named after its kind. Its data is JSON: \`type\`, \`at\` (Unix milliseconds), and a member with the name of the kind.
* Who comes back with the \`id\` of the last event (browsers do so by themselves) goes on behind it: nothing is left out, nothing comes twice.
  If that is too long ago, or the server was started anew, a new snapshot comes first.
* A comment every 15 seconds shows that the connection is alive; it carries the newest id, too.
* Nothing waits for a slow reader: who has fallen behind what is kept is told so by a comment, and the answer ends. Come back with the last id.
* What the snapshot has may come once more as an event right behind it.

${sections.join("\n")}`;
}
