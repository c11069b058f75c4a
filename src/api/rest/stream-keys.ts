import { createHash } from "node:crypto";
import { z } from "zod";
import { generateStreamKey } from "../../access/tokens/stream-keys.ts";
import { SluiceError } from "../../base/errors.ts";
import { problemOfStreamKey } from "../../config/token-settings.ts";
import type { ApiParts } from "../parts.ts";
import { type Route, route } from "./route.ts";

const id = z
  .string()
  .regex(/^[0-9a-f]{16}$/, "the id of a stream key: 16 hexadecimal digits")
  .meta({ description: "Made of the key; the same as long as the key is there." });
const stream = z.string().meta({ description: "The stream that a push to the key becomes." });
const listed = z
  .object({ id, key: z.string().meta({ description: "Its first four characters; of a short key none." }), stream })
  .meta({ id: "StreamKey" });
const made = z
  .object({ id, key: z.string().meta({ description: "The key itself. It is shown here, and not again." }), stream })
  .meta({ id: "NewStreamKey" });
const wanted = z.strictObject({
  stream: z.string("the name of a stream"),
  key: z.string("a text of 1 to 255 bytes").optional().meta({ description: "Left out: one that nobody can guess is made." }),
});

/** A key shorter than this is not shown at all: four of its characters would be too many. */
const leastShown = 12;

/** `/stream-keys`: secret names to push to. Keys are shown once, when they are made. */
export function streamKeyRoutes({ configuration, log }: Pick<ApiParts, "configuration" | "log">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/stream-keys",
      operationId: "listStreamKeys",
      summary: "All stream keys, masked",
      tag: "stream-keys",
      scope: "admin",
      query: z.strictObject({ stream: z.string().optional().meta({ description: "Only those of this stream." }) }),
      response: z.object({ keys: z.array(listed) }),
      example: { keys: [{ id: "5d41402abc4b2a76", key: "k7mq...", stream: "live" }] },
      run({ query }) {
        const all = Object.entries(configuration.settings.streamkeys).map(([key, name]) => ({
          id: idOf(key),
          key: masked(key),
          stream: name,
        }));
        return { body: { keys: query.stream === undefined ? all : all.filter((one) => one.stream === query.stream) } };
      },
    }),
    route({
      method: "post",
      path: "/stream-keys",
      operationId: "addStreamKey",
      summary: "Make a stream key",
      tag: "stream-keys",
      scope: "admin",
      status: 201,
      body: wanted,
      bodyExample: { stream: "live" },
      response: made,
      example: { id: "5d41402abc4b2a76", key: "k7mqx2vbw9fhnp3dy6cztr8e", stream: "live" },
      async run({ body }) {
        const key = body.key ?? generateStreamKey();
        const wrong = problemOfStreamKey(key, body.stream);
        if (wrong !== undefined) throw new SluiceError("input.invalid", wrong);
        await configuration.change(({ streamkeys }) => {
          if (Object.hasOwn(streamkeys, key)) {
            throw new SluiceError("api.conflict", "This stream key is there already; take it away first, or choose another");
          }
          return { streamkeys: { ...streamkeys, [key]: body.stream } };
        });
        log.write("CONF", "A stream key was made through the API", { stream: body.stream });
        return { body: { id: idOf(key), key, stream: body.stream } };
      },
    }),
    route({
      method: "delete",
      path: "/stream-keys/{id}",
      operationId: "deleteStreamKey",
      summary: "Take a stream key away; a push that came with it ends at once",
      tag: "stream-keys",
      scope: "admin",
      params: z.strictObject({ id }),
      async run({ params }) {
        let stream = "";
        await configuration.change(({ streamkeys }) => {
          const found = Object.entries(streamkeys).find(([key]) => idOf(key) === params.id);
          if (!found) throw new SluiceError("api.unknown", `There is no stream key with the id ${params.id}`);
          stream = found[1];
          return { streamkeys: Object.fromEntries(Object.entries(streamkeys).filter(([key]) => key !== found[0])) };
        });
        log.write("CONF", "A stream key was taken away through the API", { stream });
        return {};
      },
    }),
  ];
}

function idOf(key: string): string {
  return createHash("sha256").update(`stream key:${key}`).digest("hex").slice(0, 16);
}

function masked(key: string): string {
  return key.length < leastShown ? "..." : `${key.slice(0, 4)}...`;
}
