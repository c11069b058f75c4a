/** Names of the variables that stand for something of the stream or the time; an operator's own cannot be called so. */
export const builtInVariables: readonly string[] = [
  ...["stream", "basename", "wildcard", "pluswildcard", "source"],
  ...["datetime", "year", "month", "day", "hour", "minute", "second", "wday", "yday", "week"],
];

/**
 * Puts values in for `$name` and `${name}`. The longest name that fits counts, those in `others` included, which stay as they are
 * for somebody else to put in. What was put in is not looked at again.
 */
export function putVariables(text: string, values: Readonly<Record<string, string>>, others: readonly string[] = []): string {
  if (!text.includes("$")) return text;
  const names = [...Object.keys(values), ...others].toSorted((a, b) => b.length - a.length);
  return text.replace(/\$\{(\w+)\}|\$(\w+)/g, (whole, braced: string | undefined, bare: string | undefined) => {
    const name = braced ?? names.find((known) => bare?.startsWith(known));
    if (name === undefined || !Object.hasOwn(values, name) || others.includes(name)) return whole;
    return (values[name] ?? "") + (bare ?? name).slice(name.length);
  });
}
