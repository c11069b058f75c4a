import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { addressLabel } from "../../triggers/entry.ts";
import type { Letter } from "../../triggers/delivery/letter.ts";
import type { ApiParts } from "../parts.ts";
import { type Route, route } from "./route.ts";

const whole = (words: string) => z.coerce.number(words).int(words).min(0, words);
const query = z.strictObject({
  state: z.enum(["waiting", "dead"], "waiting or dead").optional(),
  after: whole("the number of a notification").optional().meta({ description: "Only those with a higher number." }),
  limit: whole("1 to 1000").min(1, "1 to 1000").max(1000, "1 to 1000").default(100),
});
const idWords = "the number of a notification";
const params = z.strictObject({
  id: z
    .string()
    .regex(/^\d{1,15}$/, idWords)
    .transform(Number),
});
const letter = z
  .object({
    id: z.int(),
    trigger: z.string(),
    handler: z.string().meta({ description: "The URL without its query, or the path." }),
    orderKey: z.string().meta({ description: "Notifications with the same key arrive one after the other." }),
    uuid: z.string(),
    createdAt: z.number().meta({ description: "Unix milliseconds." }),
    attempts: z.int(),
    nextAt: z.number().meta({ description: "Unix milliseconds of the next attempt." }),
    state: z.enum(["waiting", "dead"]),
    error: z.string().meta({ description: "What went wrong last; empty before the first attempt." }),
  })
  .meta({ id: "Notification" });
const stats = z
  .object({
    waiting: z.int(),
    dead: z.int().meta({ description: "Given up." }),
    bytes: z.int(),
    delivered: z.int(),
    failed: z.int().meta({ description: "Attempts that failed." }),
    refused: z.int().meta({ description: "Found no room." }),
  })
  .meta({ id: "OutboxStats" });
const retried = z.object({ retried: z.int() });
const pageSize = 1000;

/** `/outbox`: notifications that have not arrived: lists them, tries them again, throws them away. Payloads are not shown: they may hold tokens. */
export function outboxRoutes({ outbox }: Pick<ApiParts, "outbox">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/outbox",
      operationId: "listNotifications",
      summary: "Notifications that have not arrived, oldest first",
      tag: "outbox",
      scope: "read",
      query,
      response: z.object({ letters: z.array(letter), stats }),
      example: {
        letters: [
          {
            id: 7,
            trigger: "STREAM_END",
            handler: "https://example.com/hook",
            orderKey: "stream:live",
            uuid: "6b0e1c6e-8d0c-4d33-9d2c-0f1f5d7f7c11",
            createdAt: 1_767_225_600_000,
            attempts: 3,
            nextAt: 1_767_225_664_000,
            state: "waiting",
            error: "it answered with status 500",
          },
        ],
        stats: { waiting: 1, dead: 0, bytes: 512, delivered: 40, failed: 3, refused: 0 },
      },
      async run({ query }) {
        return { body: { letters: (await outbox.list(query)).map(shown), stats: outbox.stats() } };
      },
    }),
    route({
      method: "post",
      path: "/outbox/retry",
      operationId: "retryDeadNotifications",
      summary: "Send all dead notifications again now",
      tag: "outbox",
      scope: "operate",
      response: retried,
      example: { retried: 3 },
      async run() {
        let count = 0;
        for (let after = 0, more = true; more; ) {
          const dead = await outbox.list({ state: "dead", after, limit: pageSize });
          for (const { id } of dead) if (await outbox.retry(id)) count++;
          after = dead.at(-1)?.id ?? after;
          more = dead.length === pageSize;
        }
        return { body: { retried: count } };
      },
    }),
    route({
      method: "post",
      path: "/outbox/{id}/retry",
      operationId: "retryNotification",
      summary: "Send a notification again now; a dead one begins anew",
      tag: "outbox",
      scope: "operate",
      params,
      response: retried,
      example: { retried: 1 },
      async run({ params: { id } }) {
        if (!(await outbox.retry(id))) throw gone(id);
        return { body: { retried: 1 } };
      },
    }),
    route({
      method: "delete",
      path: "/outbox/{id}",
      operationId: "dropNotification",
      summary: "Throw a notification away",
      tag: "outbox",
      scope: "operate",
      params,
      response: z.object({ dropped: z.int() }),
      example: { dropped: 1 },
      async run({ params: { id } }) {
        if (!(await outbox.drop(id))) throw gone(id);
        return { body: { dropped: 1 } };
      },
    }),
  ];
}

function gone(id: number): SluiceError {
  return new SluiceError("api.unknown", `The outbox has no notification ${id}: it has arrived, or was thrown away`);
}

function shown({ id, trigger, handler, orderKey, uuid, createdAt, attempts, nextAt, state, error }: Letter) {
  return { id, trigger, handler: addressLabel(handler), orderKey, uuid, createdAt, attempts, nextAt, state, error };
}
