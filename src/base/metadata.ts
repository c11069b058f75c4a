/** What a site shows of a stream: title, picture, whatever it likes. Plain JSON, and public. */
export type StreamMetadata = Readonly<Record<string, unknown>>;

/** Bytes of JSON, UTF-8. The list is sent to everybody who looks. */
export const mostMetadataBytes = 4096;

export const metadataWords = `an object of JSON with at most ${mostMetadataBytes} bytes`;

/** A copy that is plain JSON: what JSON has no form for is left out. Throws a `RangeError` that says what is wrong. */
export function plainMetadata(value: unknown): StreamMetadata {
  const text = jsonOf(value);
  const bytes = new TextEncoder().encode(text).length;
  if (!text.startsWith("{")) throw new RangeError(`metadata must be ${metadataWords}`);
  if (bytes > mostMetadataBytes) throw new RangeError(`metadata must be ${metadataWords}; this has ${bytes}`);
  return JSON.parse(text) as StreamMetadata;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch (cause) {
    throw new RangeError(`metadata must be ${metadataWords}; this has no form in JSON`, { cause });
  }
}
