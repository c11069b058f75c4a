import type { Settings } from "../../../config/settings.ts";
import { type Call, type CallContext, complain, isObject, textsOf } from "../call.ts";

/** 128 MiB/s, and the networks that MistServer takes for one's own. */
const bandwidthDefaults = {
  limit: 134_217_728,
  exceptions: ["::1", "127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"],
} as const;

/** What an operator wrote about the machine's line, for load balancers and charts: it limits nothing (`limits` does). */
export type Bandwidth = {
  /** Bytes per second. */
  readonly limit: number;
  /** Addresses and networks that MistServer does not count; Sluice counts all. */
  readonly exceptions: readonly string[];
};

type Kept = Pick<Settings, "kept">;

/** The `bandwidth` that holds; what cannot be used in a file counts as not written. */
export function bandwidthOf({ kept }: Kept): Bandwidth {
  const stored = isObject(kept["bandwidth"]) ? kept["bandwidth"] : {};
  const { limit, exceptions } = stored;
  return {
    limit: isLimit(limit) ? limit : bandwidthDefaults.limit,
    exceptions: Array.isArray(exceptions) ? textsOf(exceptions) : bandwidthDefaults.exceptions,
  };
}

/** The server's own tags: sorted, each once. */
export function serverTags({ kept }: Kept): readonly string[] {
  return tidy(textsOf(kept["tags"]));
}

/** MistServer's answer for a setting that nobody has made is null. */
export function keptValue({ kept }: Kept, name: string): unknown {
  return kept[name] ?? null;
}

/** Keeps a value that only the API reads; null takes it away. */
export async function keep({ parts }: CallContext, name: string, value: unknown): Promise<void> {
  await parts.configuration.change(({ kept }) => ({ kept: { ...kept, [name]: value } }));
}

/** `bandwidth`: asks, or sets what is there of `limit` and `exceptions`. */
export const bandwidthCall: Call = {
  name: "bandwidth",
  async run(value, context, reply) {
    if (isObject(value)) {
      const { limit, exceptions } = value;
      if (limit !== undefined && !isLimit(limit))
        complain(context, reply, "bandwidth.limit must be a number of bytes per second, not below 0");
      const list = typeof exceptions === "string" ? [exceptions] : exceptions;
      if (list !== undefined && !isTexts(list)) complain(context, reply, "bandwidth.exceptions must be a list of addresses and networks");
      const change = { ...(isLimit(limit) && { limit }), ...(isTexts(list) && { exceptions: list }) };
      if (Object.keys(change).length > 0)
        await keep(context, "bandwidth", { ...bandwidthOf(context.parts.configuration.settings), ...change });
    }
    reply["bandwidth"] = bandwidthOf(context.parts.configuration.settings);
  },
};

/** `tags` replaces the server's tags (or asks for them), `add_tag` and `remove_tag` change them. */
export const serverTagCalls: readonly Call[] = [
  tagCall("tags", (now, value) => (Array.isArray(value) ? textsOf(value) : now)),
  tagCall("add_tag", (now, value) => [...now, ...textsOf(value)]),
  tagCall("remove_tag", (now, value) => now.filter((tag) => !textsOf(value).includes(tag))),
];

function tagCall(name: string, change: (now: readonly string[], value: unknown) => readonly string[]): Call {
  return {
    name,
    async run(value, context, reply) {
      const now = serverTags(context.parts.configuration.settings);
      const next = tidy(change(now, value));
      if (next.join("\n") !== now.join("\n")) await keep(context, "tags", next);
      reply["tags"] = serverTags(context.parts.configuration.settings);
    },
  };
}

/** `ui_settings`: an object that a web interface keeps here; nothing looks into it. */
export const uiSettingsCall: Call = {
  name: "ui_settings",
  async run(value, context, reply) {
    if (isObject(value)) await keep(context, "ui_settings", value);
    reply["ui_settings"] = keptValue(context.parts.configuration.settings, "ui_settings");
  },
};

function tidy(tags: readonly string[]): readonly string[] {
  return [...new Set(tags.filter((tag) => tag !== ""))].toSorted();
}

function isLimit(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
