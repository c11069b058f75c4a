/** Tags of a stream at this moment; the caller owns them. */
export type StreamTags = (stream: string) => readonly string[];

/** True if a handler with this filter listens for the stream. */
export type StreamFilter = (stream: string) => boolean;

/**
 * Makes a filter of MistServer's `streams` list. An entry is a full name, a base name (`live` is also `live+a`), `live+`
 * (what begins so, not `live` itself), `#tag`, or has one `*` for any text; `!` before it negates. The last entry that
 * matches decides. A list that is empty, or that has only negations of which none matches, takes every stream; so does
 * every list when there is no stream name (MistServer: triggers without a stream).
 */
export function streamFilter(entries: readonly string[], tagsOf: StreamTags): StreamFilter {
  const rules = entries.map((entry) => {
    const negated = entry.startsWith("!");
    return { takes: !negated, matches: pattern(negated ? entry.slice(1) : entry, tagsOf) };
  });
  const otherwise = rules.every((rule) => !rule.takes);
  return (stream) => {
    if (rules.length === 0 || stream === "") return true;
    return rules.findLast((rule) => rule.matches(stream))?.takes ?? otherwise;
  };
}

/** The part of a name before the first `+` or space: names in payloads may not be sanitised yet. */
export function filterBase(stream: string): string {
  const end = stream.search(/[+ ]/);
  return end < 0 ? stream : stream.slice(0, end);
}

function pattern(entry: string, tagsOf: StreamTags): StreamFilter {
  if (entry.startsWith("#")) {
    const tag = entry.slice(1);
    return (stream) => tagsOf(stream).includes(tag);
  }
  const star = entry.indexOf("*");
  if (star >= 0) {
    const head = entry.slice(0, star);
    const tail = entry.slice(star + 1);
    return (stream) => stream.length >= head.length + tail.length && stream.startsWith(head) && stream.endsWith(tail);
  }
  if (entry.endsWith("+")) return (stream) => stream === entry || stream.startsWith(entry);
  return (stream) => stream === entry || filterBase(stream) === entry;
}
