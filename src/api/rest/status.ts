import { z } from "zod";
import type { ApiParts } from "../parts.ts";
import { type Route, route } from "./route.ts";

const byType = z.object({ viewer: z.int(), input: z.int(), output: z.int(), unspecified: z.int() });

/** `/status`: how the server does, in one answer. */
export function statusRoutes(parts: ApiParts): readonly Route[] {
  const startedAt = parts.clock.now();
  return [
    route({
      method: "get",
      path: "/status",
      operationId: "getStatus",
      summary: "How the server does",
      tag: "status",
      scope: "read",
      response: z
        .object({
          version: z.string(),
          instance: z.string().meta({ description: "Another one after each start." }),
          serverid: z.string(),
          startedAt: z.number().meta({ description: "Unix milliseconds." }),
          time: z.number().meta({ description: "Unix milliseconds." }),
          listening: z.array(z.object({ connector: z.string(), host: z.string(), port: z.int() })),
          streams: z.object({
            configured: z.int(),
            running: z.int(),
            live: z.int().meta({ description: "Live streams that can be watched now." }),
          }),
          sessions: byType.meta({ description: "Those that are let in, now." }),
          up: z.number().meta({ description: "Bytes that went out since the start." }),
          down: z.number().meta({ description: "Bytes that came in." }),
          outbox: z.object({ waiting: z.int(), dead: z.int() }).meta({ description: "Notifications that have not arrived." }),
          you: z
            .object({ name: z.string(), kind: z.enum(["local", "account", "token"]), scope: z.enum(["read", "operate", "admin"]) })
            .meta({ description: "As whom this call was made." }),
        })
        .meta({ id: "Status" }),
      example: {
        version: "0.1.0",
        instance: "m3sS1kqQ9XwPz0aB",
        serverid: "edge-1",
        startedAt: 1_767_225_600_000,
        time: 1_767_229_200_000,
        listening: [{ connector: "HTTP", host: "0.0.0.0", port: 8080 }],
        streams: { configured: 3, running: 2, live: 2 },
        sessions: { viewer: 120, input: 2, output: 0, unspecified: 1 },
        up: 104_857_600,
        down: 8_388_608,
        outbox: { waiting: 0, dead: 0 },
        you: { name: "monitoring", kind: "token", scope: "read" },
      },
      run({ principal }) {
        const {
          configuration: { settings },
          directory,
          sessions,
          outbox,
          identity,
          clock,
        } = parts;
        const { now, ever } = sessions.census();
        const running = directory.list();
        const { waiting, dead } = outbox.stats();
        return {
          body: {
            ...identity,
            serverid: settings.serverid,
            startedAt,
            time: clock.now(),
            listening: parts.listening(),
            streams: {
              configured: Object.keys(settings.streams).length,
              running: running.length,
              live: running.filter(({ kind, state }) => kind === "live" && state === "ready").length,
            },
            sessions: now,
            up: ever.up,
            down: ever.down,
            outbox: { waiting, dead },
            you: principal,
          },
        };
      },
    }),
  ];
}
