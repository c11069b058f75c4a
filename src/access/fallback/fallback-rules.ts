import type { KeepRule } from "../../base/server-control.ts";
import { SluiceError } from "../../base/errors.ts";
import { baseName, type StreamName } from "../../base/stream-name.ts";
import { type Duration, durationMs } from "../../base/time.ts";
import { type StreamFilter, streamFilter, type StreamTags } from "../../triggers/filter.ts";
import type { GateSettings } from "../settings.ts";
import type { FallbackRule } from "./fallback-rule.ts";

const defaults = { minOutage: 0, minStable: 2000, switch: "seamless" } as const;

/** Which rule holds for a stream that goes offline: that of its configuration, else the one that was added last. */
export class FallbackRules {
  readonly #settings: Pick<GateSettings, "stream">;
  readonly #tagsOf: StreamTags;
  #added: readonly { readonly takes: StreamFilter; readonly rule: FallbackRule }[] = [];

  constructor(settings: Pick<GateSettings, "stream">, tagsOf: StreamTags) {
    this.#settings = settings;
    this.#tagsOf = tagsOf;
  }

  of(stream: StreamName): FallbackRule | undefined {
    const configured = this.#settings.stream(baseName(stream))?.fallback;
    if (configured) return readRule(configured);
    return this.#added.findLast(({ takes }) => takes(stream))?.rule;
  }

  /** A rule of a policy or of operator code, until disposed. Throws "config.invalid" when it cannot hold. */
  add(streams: readonly string[], rule: KeepRule): Disposable {
    const added = { takes: streamFilter(streams, this.#tagsOf), rule: readRule(rule) };
    this.#added = [...this.#added, added];
    return { [Symbol.dispose]: () => void (this.#added = this.#added.filter((other) => other !== added)) };
  }
}

function readRule({ sources, minOutage, minStable, switch: how }: KeepRule): FallbackRule {
  return {
    sources,
    minOutageMs: span(minOutage ?? defaults.minOutage, "minOutage"),
    minStableMs: span(minStable ?? defaults.minStable, "minStable"),
    switch: how ?? defaults.switch,
  };
}

function span(duration: Duration, field: string): number {
  try {
    return durationMs(duration);
  } catch (cause) {
    throw new SluiceError("config.invalid", `fallback.${field}: ${String(duration)} is no duration; write "5s" or milliseconds`, { cause });
  }
}
