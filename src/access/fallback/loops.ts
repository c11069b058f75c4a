import type { Log } from "../../base/log.ts";
import type { StreamName } from "../../base/stream-name.ts";

/** Names may be anything that somebody asks for. */
const mostKnown = 1_000;

/** Rules that lead back to where they began: told once each. */
export class Loops {
  readonly #log: Log;
  readonly #known = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** `path`: the streams that led there, the one that is offline first. */
  tell(path: readonly StreamName[], back: StreamName): void {
    const words = [...path.slice(path.indexOf(back)), back].join(" -> ");
    if (this.#known.has(words)) return;
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.add(words);
    this.#log.write("WARN", `What should be shown instead of an offline stream leads back to it: ${words}; that source is left out`, {
      stream: path[0] ?? back,
    });
  }
}
