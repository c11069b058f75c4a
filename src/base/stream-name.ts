/** A sanitised stream name: `base` or `base+wildcard`, at most 100 bytes. */
export type StreamName = string;

const maxBytes = 100;

/**
 * Makes a stream name of what a client sent, as MistServer does: cut at `?`; in the base part only `a-z 0-9 _ . -`
 * stay, lower-cased; the first `+` or space starts the wildcard part, which is kept as it is.
 * Unlike MistServer, line breaks and other control characters are dropped in the wildcard part too.
 */
export function streamName(raw: string): StreamName {
  const query = raw.indexOf("?");
  const text = query < 0 ? raw : raw.slice(0, query);
  const split = text.search(/[+ ]/);
  const base = (split < 0 ? text : text.slice(0, split)).replace(/[^A-Za-z0-9_.-]/g, "").toLowerCase();
  if (split < 0) return cut(base);
  // oxlint-disable-next-line no-control-regex -- control characters are what this removes
  return cut(`${base}+${text.slice(split + 1).replace(/[\u0000-\u001f\u007f]/g, "")}`);
}

/** The part before the first `+`: what is configured under `streams`. */
export function baseName(name: StreamName): string {
  const plus = name.indexOf("+");
  return plus < 0 ? name : name.slice(0, plus);
}

/** The part after the first `+`, or undefined. */
export function wildcardOf(name: StreamName): string | undefined {
  const plus = name.indexOf("+");
  return plus < 0 ? undefined : name.slice(plus + 1);
}

function cut(name: string): string {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length <= maxBytes) return name;
  return new TextDecoder().decode(bytes.subarray(0, maxBytes)).replace(/\ufffd+$/, "");
}
