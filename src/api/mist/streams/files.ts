import { readdir, realpath, stat, unlink } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { messageOf } from "../../../base/errors.ts";
import type { Settings } from "../../../config/settings.ts";
import { removeStreams } from "../../stream-changes.ts";
import { type Call, type CallContext, isObject } from "../call.ts";

/**
 * `browse`: files and folders at a path. MistServer shows the whole disk; here it is the folders that sources of configured
 * streams lie in, and what is below them. Any other path is answered as if nothing were there. An empty text is the first of them.
 */
export const browseCall: Call = {
  name: "browse",
  async run(value, { parts }, reply) {
    const roots = await mediaRoots(parts.configuration.settings);
    const asked = typeof value === "string" ? value : "";
    const path = asked === "" ? roots[0] : await realpath(asked).catch(() => undefined);
    const inside = path !== undefined && roots.some((root) => path === root || path.startsWith(root + sep));
    if (!inside) {
      parts.log.write("INFO", "browse: only folders of configured sources are shown");
      reply["browse"] = { path: asked === "" ? [] : [asked] };
      return;
    }
    reply["browse"] = { path: [path], ...(await contents(path)) };
  },
};

async function contents(path: string): Promise<{ readonly files: readonly string[]; readonly subdirectories: readonly string[] }> {
  const files: string[] = [];
  const subdirectories: string[] = [];
  for (const name of (await readdir(path).catch(() => [])).toSorted()) {
    const found = await stat(join(path, name)).catch(() => undefined);
    if (found?.isFile()) files.push(name);
    else if (found?.isDirectory()) subdirectories.push(name);
  }
  return { files, subdirectories };
}

/** Real paths of the folders that sources name, sorted; never the whole disk. */
async function mediaRoots({ streams }: Pick<Settings, "streams">): Promise<readonly string[]> {
  const folders = Object.values(streams).flatMap(({ source }) => {
    if (source === null || !source.startsWith("/")) return [];
    const fixed = source.split("$", 1)[0] ?? source;
    return [fixed.endsWith("/") ? fixed : dirname(fixed)];
  });
  const real = await Promise.all([...new Set(folders)].map((folder) => realpath(folder).catch(() => undefined)));
  return [...new Set(real.filter((folder) => folder !== undefined && folder !== "/"))].toSorted() as readonly string[];
}

/** MistServer's words for what became of a stream and its file. */
const outcomes = {
  nothing: "0: No action taken",
  both: "1: Source file deleted",
  streamOnly: "-1: Stream deleted, source remains",
} as const;
type Outcome = (typeof outcomes)[keyof typeof outcomes];

/**
 * `deletestreamsource`: takes streams out of the configuration and deletes their files. Only a plain file that is one stream's
 * own configured source is ever deleted, and only after STREAM_REMOVE has said yes.
 */
export const deleteSourceCall: Call = {
  name: "deletestreamsource",
  async run(value, context, reply) {
    if (typeof value === "string") reply["deletestreamsource"] = await deleteWithSource(value, context);
    else if (Array.isArray(value)) {
      const list: Outcome[] = [];
      for (const name of value) list.push(typeof name === "string" ? await deleteWithSource(name, context) : outcomes.nothing);
      reply["deletestreamsource"] = list;
    } else if (isObject(value)) {
      const all: [string, Outcome][] = [];
      for (const name of Object.keys(value)) all.push([name, await deleteWithSource(name, context)]);
      reply["deletestreamsource"] = Object.fromEntries(all);
    }
  },
};

async function deleteWithSource(name: string, { parts, added }: CallContext): Promise<Outcome> {
  const { streams } = parts.configuration.settings;
  const entry = Object.hasOwn(streams, name) ? streams[name] : undefined;
  if (!entry) return outcomes.nothing;
  const { source } = entry;
  if (!(await removeStreams([name], parts)).has(name)) return outcomes.nothing;
  added.delete(name);
  parts.log.write("CONF", "Stream removed through the API, with its source", { stream: name });
  const shared = Object.values(parts.configuration.settings.streams).some((other) => other.source === source);
  if (source === null || !source.startsWith("/") || source.includes("$") || shared) return outcomes.streamOnly;
  try {
    if (!(await stat(source)).isFile()) return outcomes.streamOnly;
    await unlink(source);
    return outcomes.both;
  } catch (error) {
    parts.log.write("WARN", `The source could not be deleted: ${messageOf(error)}`, { stream: name });
    return outcomes.streamOnly;
  }
}
