import { streamName } from "../../../base/stream-name.ts";
import { type Call, type CallContext, isObject, textsOf } from "../call.ts";

/** `tag_stream`, `untag_stream`: an object of stream and tag, or tags. `stream_tags`: what counts now, of these streams or of all that play. */
export const streamTagCalls: readonly Call[] = [
  { name: "tag_stream", run: (value, context) => change(value, context, "tag") },
  { name: "untag_stream", run: (value, context) => change(value, context, "untag") },
  {
    name: "stream_tags",
    run(value, { parts }, reply) {
      const named = isObject(value) ? Object.keys(value) : textsOf(value);
      const names = named.length > 0 ? named.map(streamName) : parts.directory.list().map(({ name }) => name);
      const wanted = [...new Set(names)].filter((name) => name !== "").toSorted();
      reply["stream_tags"] = Object.fromEntries(wanted.map((name) => [name, parts.streamTags.tagsOf(name)]));
    },
  },
];

function change(value: unknown, { parts }: CallContext, how: "tag" | "untag"): void {
  if (!isObject(value)) return;
  for (const [stream, tags] of Object.entries(value)) {
    const name = streamName(stream);
    if (name === "" || textsOf(tags).length === 0) continue;
    if (!parts.streamTags[how](name, textsOf(tags)))
      parts.log.write("WARN", `${how}_stream: a stream has at most 512 bytes of tags, and 10,000 streams have some`, { stream: name });
  }
}
