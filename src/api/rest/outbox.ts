import type { Hono } from "hono";
import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { addressLabel } from "../../triggers/entry.ts";
import type { Letter } from "../../triggers/delivery/letter.ts";
import type { Outbox } from "../../triggers/delivery/outbox.ts";
import { type Bindings, checked } from "./rest.ts";

const whole = (words: string) => z.coerce.number(words).int(words).min(0, words);
const query = z.strictObject({
  state: z.enum(["waiting", "dead"], "waiting or dead").optional(),
  after: whole("the number of a notification").optional(),
  limit: whole("1 to 1000").min(1, "1 to 1000").max(1000, "1 to 1000").optional(),
});
const pageSize = 1000;

/** `/api/v1/outbox`: notifications that have not arrived: lists them, tries them again, throws them away. Payloads are not shown: they may hold tokens. */
export function outboxRoutes(app: Hono<{ Bindings: Bindings }>, outbox: Outbox): void {
  app.get("/outbox", async (context) => {
    const { limit = 100, ...rest } = checked(query, context.req.query(), "the query");
    const letters = await outbox.list({ ...rest, limit });
    return context.json({ letters: letters.map(shown), stats: outbox.stats() });
  });

  app.post("/outbox/retry", async (context) => {
    let retried = 0;
    for (let after = 0, more = true; more; ) {
      const dead = await outbox.list({ state: "dead", after, limit: pageSize });
      for (const { id } of dead) if (await outbox.retry(id)) retried++;
      after = dead.at(-1)?.id ?? after;
      more = dead.length === pageSize;
    }
    return context.json({ retried });
  });

  app.post("/outbox/:id/retry", async (context) => {
    const id = idOf(context.req.param("id"));
    if (!(await outbox.retry(id))) return context.json({ error: gone(id) }, 404);
    return context.json({ retried: 1 });
  });

  app.delete("/outbox/:id", async (context) => {
    const id = idOf(context.req.param("id"));
    if (!(await outbox.drop(id))) return context.json({ error: gone(id) }, 404);
    return context.json({ dropped: 1 });
  });
}

function idOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new SluiceError("input.invalid", `"${text}" is no number of a notification`);
  return Number(text);
}

function gone(id: number): string {
  return `The outbox has no notification ${id}: it has arrived, or was thrown away`;
}

function shown({ id, trigger, handler, orderKey, uuid, createdAt, attempts, nextAt, state, error }: Letter) {
  return { id, trigger, handler: addressLabel(handler), orderKey, uuid, createdAt, attempts, nextAt, state, error };
}
