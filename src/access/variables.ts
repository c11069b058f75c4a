import { baseName, type StreamName, wildcardOf } from "../base/stream-name.ts";

/** What variables are about. `now` in Unix milliseconds; they are written in local time. */
export type VariableContext = { readonly stream: StreamName; readonly now: number; readonly source?: string };

/**
 * Puts in MistServer's variables, `$name` or `${name}`: `$stream`, `$basename`, `$wildcard`, `$pluswildcard`, `$source`,
 * `$datetime` and its parts. The longest name that fits counts; others stay as they are. What was put in is not looked at
 * again: the wildcard part comes from the client.
 */
export function expandVariables(text: string, context: VariableContext): string {
  if (!text.includes("$")) return text;
  const values = variables(context);
  const names = Object.keys(values).sort((a, b) => b.length - a.length);
  return text.replace(/\$\{(\w+)\}|\$(\w+)/g, (whole, braced: string | undefined, bare: string | undefined) => {
    if (braced !== undefined) return values[braced] ?? whole;
    const name = names.find((known) => bare?.startsWith(known));
    return name === undefined ? whole : (values[name] ?? "") + (bare ?? "").slice(name.length);
  });
}

/** True if a client could climb out of a folder with this name, were it put into a path. */
export function climbs(stream: StreamName): boolean {
  return stream.split(/[\\/+]/).includes("..") || stream.includes("\0");
}

function variables({ stream, now, source }: VariableContext): Readonly<Record<string, string>> {
  const date = new Date(now);
  const two = (value: number): string => String(value).padStart(2, "0");
  const dayOfYear =
    Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 864e5) + 1;
  const [year, month, day] = [String(date.getFullYear()), two(date.getMonth() + 1), two(date.getDate())];
  const [hour, minute, second] = [two(date.getHours()), two(date.getMinutes()), two(date.getSeconds())];
  const wildcard = wildcardOf(stream);
  return {
    ...(source !== undefined && { source }),
    datetime: [year, month, day, hour, minute, second].join("."),
    year,
    month,
    day,
    hour,
    minute,
    second,
    wday: String(date.getDay() || 7),
    yday: String(dayOfYear).padStart(3, "0"),
    week: two(isoWeek(date)),
    stream,
    basename: baseName(stream),
    wildcard: wildcard ?? "",
    pluswildcard: wildcard === undefined ? "" : `+${wildcard}`,
  };
}

/** ISO 8601: the week of the year's first Thursday is week 1. */
function isoWeek(date: Date): number {
  const thursday = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7)));
  return Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / (7 * 864e5)) + 1;
}
