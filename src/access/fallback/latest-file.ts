import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Files that are looked at in one directory: whoever keeps more should name the latest by a function. */
const mostFiles = 10_000;

/**
 * The file that a path means: itself, or with a `*` in its last part the one of those that was changed last. Undefined when there
 * is none. What is being written to has just changed, and counts.
 */
export async function latestFile(path: string): Promise<string | undefined> {
  const pattern = basename(path);
  if (!pattern.includes("*")) return path;
  const folder = dirname(path);
  const fits = new RegExp(`^${pattern.split("*").map(escape).join(".*")}$`, "s");
  let newest: { readonly file: string; readonly at: number } | undefined;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => fits.test(one)).slice(0, mostFiles)) {
    const file = join(folder, name);
    const info = await stat(file).catch(() => undefined);
    if (info?.isFile() && info.size > 0 && (!newest || info.mtimeMs > newest.at)) newest = { file, at: info.mtimeMs };
  }
  return newest?.file;
}

function escape(text: string): string {
  return text.replace(/[\\^$.|?+()[\]{}]/g, "\\$&");
}
