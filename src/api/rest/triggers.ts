import type { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { SluiceError } from "../../base/errors.ts";
import type { CallRecord } from "../../triggers/journal/call-record.ts";
import { parseTriggerEntries } from "../../triggers/entry.ts";
import { handlerIds } from "../../triggers/handler-id.ts";
import { completePayload } from "../../triggers/payload.ts";
import { type TriggerName, triggers as table } from "../../triggers/table.ts";
import type { ApiParts } from "../parts.ts";
import { type Bindings, checked, jsonBody } from "./rest.ts";
import { callQuery, handlerBody, since, testBody } from "./schemas.ts";

/** A reader that is slower than the calls loses the oldest of them. */
const mostUnread = 1000;
const heartbeatMs = 15_000;

/** `/api/v1/triggers`: handlers, recorded calls, rehearsal; handlers of MistServer's shape one by one, beside its replacing `config.triggers`. */
export function triggerRoutes(app: Hono<{ Bindings: Bindings }>, parts: ApiParts): void {
  const { triggers, journal, configuration } = parts;

  app.get("/triggers", (context) =>
    context.json({
      handlers: triggers.handlers(),
      stats: triggers.stats(),
      journal: journal.setting,
      configuration: parts.reloadStatus(),
    }),
  );

  app.get("/triggers/calls", async (context) => {
    const query = checked(callQuery, context.req.query(), "the query");
    const from = query.since === undefined ? undefined : since(query.since, parts.clock.now());
    return context.json({ calls: await journal.calls({ ...query, since: from }) });
  });

  app.get("/triggers/calls/stream", (context) => {
    const { trigger, stream: wanted, decision } = checked(callQuery, context.req.query(), "the query");
    return streamSSE(context, async (stream) => {
      const unread: CallRecord[] = [];
      let lost = 0;
      let wake = (): void => {};
      using open = new DisposableStack();
      const follow = (record: CallRecord): void => {
        if (trigger !== undefined && record.trigger !== trigger) return;
        if (wanted !== undefined && record.stream !== wanted) return;
        if (decision !== undefined && record.decision?.kind !== decision) return;
        if (unread.length >= mostUnread) {
          unread.shift();
          lost++;
        }
        unread.push(record);
        wake();
      };
      open.use(journal.follow(follow));
      open.use(parts.clock.every(heartbeatMs, () => wake()));
      stream.onAbort(() => wake());
      await stream.write(": calls of triggers as they end\n\n");
      while (!stream.aborted && !stream.closed) {
        const record = unread.shift();
        if (record) {
          await stream.writeSSE({ event: "call", id: record.id, data: JSON.stringify(record) });
        } else if (lost > 0) {
          await stream.writeSSE({ event: "lost", data: String(lost) });
          lost = 0;
        } else {
          const idle = await new Promise<boolean>((resolve) => {
            wake = () => resolve(unread.length === 0);
          });
          if (idle && !stream.aborted) await stream.write(": still here\n\n");
        }
      }
    });
  });

  app.get("/triggers/calls/:id", async (context) => {
    const id = context.req.param("id");
    const call = await journal.call(id);
    if (!call) return context.json({ error: `The journal has no call ${id}; it may be too old, or was not sampled` }, 404);
    return context.json(call);
  });

  app.post("/triggers/test", async (context) => {
    const { trigger, payload } = await jsonBody(context, testBody);
    return context.json(await triggers.rehearse(trigger, completePayload(trigger, payload)));
  });

  app.post("/triggers/handlers", async (context) => {
    const { trigger, entry } = await jsonBody(context, handlerBody);
    parseTriggerEntries({ [trigger]: [entry] }, "entry");
    let id = "";
    await configuration.change((settings) => {
      const list = [...entriesOf(settings.triggers, trigger), entry];
      id = handlerIds(trigger, list).at(-1) ?? "";
      return { triggers: { ...settings.triggers, [trigger]: list } };
    });
    parts.log.write("CONF", `A handler of ${trigger} was added through the API: ${id}`);
    return context.json({ id, trigger }, 201, { location: `/api/v1/triggers/handlers/${id}` });
  });

  app.get("/triggers/handlers/:id", (context) => {
    const id = context.req.param("id");
    const handler = triggers.handlers().find((one) => one.id === id);
    return handler ? context.json(handler) : context.json({ error: noHandler(id) }, 404);
  });

  app.delete("/triggers/handlers/:id", async (context) => {
    const id = context.req.param("id");
    const handler = triggers.handlers().find((one) => one.id === id);
    if (handler?.source === "function") {
      throw new SluiceError("access.taken", `${id} is a function; take it out of the file or the program that it stands in`);
    }
    let removed: TriggerName | undefined;
    await configuration.change((settings) => {
      for (const name of Object.keys(table) as TriggerName[]) {
        const list = entriesOf(settings.triggers, name);
        const index = handlerIds(name, list).indexOf(id);
        if (index < 0) continue;
        removed = name;
        const { [name]: _old, ...others } = settings.triggers;
        const rest = list.toSpliced(index, 1);
        return { triggers: rest.length === 0 ? others : { ...others, [name]: rest } };
      }
      return {};
    });
    if (removed === undefined) return context.json({ error: noHandler(id) }, 404);
    parts.log.write("CONF", `A handler of ${removed} was removed through the API: ${id}`);
    return context.body(null, 204);
  });
}

function entriesOf(entries: Readonly<Record<string, unknown>>, name: TriggerName): readonly unknown[] {
  const list = Object.hasOwn(entries, name) ? entries[name] : [];
  return Array.isArray(list) ? list : [];
}

function noHandler(id: string): string {
  return `There is no handler ${id}; GET /api/v1/triggers lists them`;
}
