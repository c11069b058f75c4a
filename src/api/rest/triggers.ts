import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { parseTriggerEntries } from "../../triggers/entry.ts";
import { handlerIds } from "../../triggers/handler-id.ts";
import { completePayload } from "../../triggers/payload.ts";
import { type TriggerName, triggers as table } from "../../triggers/table.ts";
import type { ApiParts } from "../parts.ts";
import { callStream } from "./call-stream.ts";
import { type Route, route } from "./route.ts";
import { callQuery, callSchema, handlerBody, handlerSchema, since, testBody } from "./schemas.ts";

const tag = "triggers";
const byId = z.strictObject({ id: z.string() });

const handlerExample = {
  id: "USER_NEW-1f3b2c",
  trigger: "USER_NEW",
  source: "entry",
  handler: "https://example.com/hook",
  mode: "live",
  sync: true,
  streams: ["live"],
  calls: { inFlight: 0, waiting: 0 },
};
const callExample = {
  id: "0c8f7f4e-7d7b-4a0e-9f66-6e1c1c1f2d3e",
  time: 1_767_225_600_000,
  trigger: "USER_NEW",
  stream: "live",
  payload: { stream: "live", host: "203.0.113.7", protocol: "HLS" },
  handlers: [{ id: "function-1", handler: "handle", role: "decides", answer: { kind: "allow" }, ms: 1.2 }],
  decision: { kind: "allow" },
  ms: 1.4,
};

/** `/triggers`: handlers, recorded calls, rehearsal; handlers of MistServer's shape one by one, beside its replacing `config.triggers`. */
export function triggerRoutes(parts: ApiParts): readonly Route[] {
  return [...callRoutes(parts), ...handlerRoutes(parts)];
}

function callRoutes({ triggers, journal, clock, reloadStatus }: ApiParts): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/triggers",
      operationId: "getTriggers",
      summary: "Handlers, counts of calls, the journal's setting, and what became of the configuration's file",
      tag,
      scope: "read",
      response: z.object({
        handlers: z.array(handlerSchema),
        stats: z.record(z.string(), z.looseObject({ count: z.int(), ms: z.number(), fails: z.int() })),
        journal: z.object({ mode: z.enum(["off", "sampled", "full"]), sample: z.number(), bytes: z.int(), unmasked: z.boolean() }),
        configuration: z.object({
          file: z.string().optional(),
          loads: z.int(),
          loadedAt: z.number(),
          error: z.object({ time: z.number(), message: z.string() }).optional(),
        }),
      }),
      example: {
        handlers: [handlerExample],
        stats: { USER_NEW: { count: 12, ms: 31.5, fails: 0 } },
        journal: { mode: "full", sample: 0.01, bytes: 67_108_864, unmasked: false },
        configuration: { file: "sluice.config.ts", loads: 1, loadedAt: 1_767_225_600_000 },
      },
      run: () => ({
        body: { handlers: triggers.handlers(), stats: triggers.stats(), journal: journal.setting, configuration: reloadStatus() },
      }),
    }),
    route({
      method: "get",
      path: "/triggers/calls",
      operationId: "listTriggerCalls",
      summary: "Recorded calls, newest first",
      tag,
      scope: "read",
      query: callQuery,
      response: z.object({ calls: z.array(callSchema) }),
      example: { calls: [callExample] },
      async run({ query }) {
        const from = query.since === undefined ? undefined : since(query.since, clock.now());
        return { body: { calls: await journal.calls({ ...query, since: from }) } };
      },
    }),
    route({
      method: "get",
      path: "/triggers/calls/stream",
      operationId: "followTriggerCalls",
      summary: "Calls as they end, as server-sent events",
      tag,
      scope: "read",
      query: callQuery,
      produces: "text/event-stream",
      run: ({ query }) => ({ stream: callStream(journal, clock, query), headers: { "x-accel-buffering": "no" } }),
    }),
    route({
      method: "get",
      path: "/triggers/calls/{id}",
      operationId: "getTriggerCall",
      summary: "One recorded call",
      tag,
      scope: "read",
      params: byId,
      response: callSchema,
      example: callExample,
      async run({ params: { id } }) {
        const call = await journal.call(id);
        if (!call) throw new SluiceError("api.unknown", `The journal has no call ${id}; it may be too old, or was not sampled`);
        return { body: call };
      },
    }),
    route({
      method: "post",
      path: "/triggers/test",
      operationId: "testTrigger",
      summary: "Ask the handlers what they would say; nothing is applied",
      tag,
      scope: "operate",
      body: testBody,
      bodyExample: { trigger: "USER_NEW", payload: { stream: "live", host: "203.0.113.7", token: "t1" } },
      response: callSchema,
      example: callExample,
      run: async ({ body: { trigger, payload } }) => ({ body: await triggers.rehearse(trigger, completePayload(trigger, payload)) }),
    }),
  ];
}

function handlerRoutes({ triggers, configuration, log }: ApiParts): readonly Route[] {
  return [
    route({
      method: "post",
      path: "/triggers/handlers",
      operationId: "addHandler",
      summary: "Add a handler in MistServer's shape",
      tag,
      scope: "admin",
      status: 201,
      body: handlerBody,
      bodyExample: { trigger: "USER_NEW", entry: { handler: "https://example.com/hook", sync: true, streams: ["live"] } },
      response: z.object({ id: z.string(), trigger: z.string() }),
      example: { id: "USER_NEW-1f3b2c", trigger: "USER_NEW" },
      async run({ body: { trigger, entry } }) {
        parseTriggerEntries({ [trigger]: [entry] }, "entry");
        let id = "";
        await configuration.change((settings) => {
          const list = [...entriesOf(settings.triggers, trigger), entry];
          id = handlerIds(trigger, list).at(-1) ?? "";
          return { triggers: { ...settings.triggers, [trigger]: list } };
        });
        log.write("CONF", `A handler of ${trigger} was added through the API: ${id}`);
        return { body: { id, trigger }, headers: { location: `/api/v1/triggers/handlers/${id}` } };
      },
    }),
    route({
      method: "get",
      path: "/triggers/handlers/{id}",
      operationId: "getHandler",
      summary: "One handler",
      tag,
      scope: "read",
      params: byId,
      response: handlerSchema,
      example: handlerExample,
      run({ params: { id } }) {
        const handler = triggers.handlers().find((one) => one.id === id);
        if (!handler) throw noHandler(id);
        const { calls: _calls, ...guarded } = handler;
        return { body: handler, guarded };
      },
    }),
    route({
      method: "delete",
      path: "/triggers/handlers/{id}",
      operationId: "removeHandler",
      summary: "Take a configured handler away",
      tag,
      scope: "admin",
      params: byId,
      async run({ params: { id } }) {
        const handler = triggers.handlers().find((one) => one.id === id);
        if (handler?.source === "function") {
          throw new SluiceError("api.conflict", `${id} is a function; take it out of the file or the program that it stands in`);
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
        if (removed === undefined) throw noHandler(id);
        log.write("CONF", `A handler of ${removed} was removed through the API: ${id}`);
        return {};
      },
    }),
  ];
}

function entriesOf(entries: Readonly<Record<string, unknown>>, name: TriggerName): readonly unknown[] {
  const list = Object.hasOwn(entries, name) ? entries[name] : [];
  return Array.isArray(list) ? list : [];
}

function noHandler(id: string): SluiceError {
  return new SluiceError("api.unknown", `There is no handler ${id}; GET /api/v1/triggers lists them`);
}
