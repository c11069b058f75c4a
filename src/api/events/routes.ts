import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import type { ApiParts } from "../parts.ts";
import type { Principal } from "../principal.ts";
import { demandScope, includes } from "../rest/frame/mount.ts";
import { type Route, route } from "../rest/route.ts";
import { eventStream } from "./event-stream.ts";
import { type EventKind, eventKindNames, eventKinds, isEventKind } from "./kinds.ts";

/** Answers without end that the API has open at the same time, at most. */
const mostReaders = 500;
const kindWords = `some of ${eventKindNames.join(", ")}, with commas between them`;

const query = z.strictObject({
  kinds: z
    .string(kindWords)
    .optional()
    .meta({ description: `${kindWords}; left out: all that the caller may see.`, example: "stream,session" }),
  stream: z
    .string()
    .min(1, "the name of a stream, or a base name with +")
    .optional()
    .meta({ description: "Only what is about this stream; `live+` for all streams below `live`." }),
  lastEventId: z.string().optional().meta({ description: "As the header Last-Event-ID." }),
});

/** `GET /api/v1/events`: what there is, then each change, as server-sent events; docs/reference/events.md. */
export function eventRoutes({ events }: Pick<ApiParts, "events">): readonly Route[] {
  let readers = 0;
  return [
    route({
      method: "get",
      path: "/events",
      operationId: "followEvents",
      summary: "What happens, as server-sent events: first what there is, then each change",
      tag: "events",
      scope: "read",
      query,
      produces: "text/event-stream",
      run({ query: { kinds, stream, lastEventId }, principal, header }) {
        const wanted = { kinds: kindsOf(kinds, principal), stream };
        if (readers >= mostReaders) {
          throw new SluiceError("access.full", `${mostReaders} readers follow the events already; end some`, { retryAfterMs: 10_000 });
        }
        readers++;
        const position = events.numberOf(header("last-event-id") ?? lastEventId ?? "");
        const over = (): void => void readers--;
        return { stream: eventStream(events, wanted, position, { over }), headers: { "x-accel-buffering": "no" } };
      },
    }),
  ];
}

/** The kinds that were asked for, in the order of the table. Throws "input.invalid" and "api.scope". */
function kindsOf(text: string | undefined, principal: Principal): readonly EventKind[] {
  if (text === undefined) return eventKindNames.filter((kind) => includes(principal.scope, eventKinds[kind].scope));
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !isEventKind(name));
  if (unknown !== undefined) throw new SluiceError("input.invalid", `kinds has ${JSON.stringify(unknown)}; it must be ${kindWords}`);
  const asked = eventKindNames.filter((kind) => names.includes(kind));
  for (const kind of asked) demandScope(principal, eventKinds[kind].scope, `kinds=${kind}`);
  return asked;
}
