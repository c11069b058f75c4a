/**
 * Makes a predicate of a list of stream names and patterns: a full name, a base name (`live` is also `live+a`), `live+`, one
 * with `*` for any text, `#tag`; `!` before it excludes. A list that is left out takes every name.
 */
export function namePatterns(list: readonly string[] | undefined): (name: string, tags?: readonly string[]) => boolean {
  if (!list) return () => true;
  const rules = list.map((entry) => {
    const excludes = entry.startsWith("!");
    return { excludes, fits: pattern(excludes ? entry.slice(1) : entry) };
  });
  const otherwise = rules.every(({ excludes }) => excludes);
  return (name, tags = []) => {
    const last = rules.findLast(({ fits }) => fits(name, tags));
    return last ? !last.excludes : otherwise;
  };
}

function pattern(entry: string): (name: string, tags: readonly string[]) => boolean {
  if (entry.startsWith("#")) return (_, tags) => tags.includes(entry.slice(1));
  if (entry.includes("*")) return textPattern(entry);
  if (entry.endsWith("+")) return (name) => name.startsWith(entry);
  return (name) => name === entry || name.startsWith(`${entry}+`);
}

/** Makes a predicate of a pattern in which `*` is any text. */
export function textPattern(entry: string, flags = ""): (text: string) => boolean {
  const parts = entry.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  const fits = new RegExp(`^${parts.join(".*")}$`, `s${flags}`);
  return (text) => fits.test(text);
}
