import type { StreamEntry } from "../../config/settings.ts";

const mask = "***";

/** A source as it may be shown: passwords and the values of its query are masked. */
export function maskedSource(source: string): string {
  if (/^push:\/\//i.test(source)) return source.replace(/@.+$/s, `@${mask}`);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) return source;
  const [address = "", ...query] = source.split("?");
  const names = query.join("?").replace(/=[^&#]*/g, `=${mask}`);
  return `${address.replace(/^([^/]*\/\/[^/@:]*):[^/]*@/, `$1:${mask}@`)}${query.length > 0 ? `?${names}` : ""}`;
}

/** A stream's configuration as it may be shown. */
export function maskedEntry(entry: StreamEntry): StreamEntry {
  return entry.source === null ? entry : { ...entry, source: maskedSource(entry.source) };
}

/** What a client wrote that had read the configuration before: a mask that it gives back becomes what it stands for. */
export function unmaskedEntry(entry: StreamEntry, before: StreamEntry | undefined): StreamEntry {
  const { source = null } = before ?? {};
  return source !== null && entry.source === maskedSource(source) ? { ...entry, source } : entry;
}
