import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";

/** Tells people about handlers that fail, without a line for each of a thousand viewers. Dispose writes what is still counted. */
export interface FailureLog extends Disposable {
  /**
   * The first of its kind is written at once, repeats are counted and told once in a minute with the first one's words.
   * A kind is a handler and a sort of failure; the words may differ each time.
   */
  report(kind: string, message: string): void;
}

const summaryMs = 60_000;
/** More kinds than this within a minute are not written: nobody reads them any more. */
const maxKinds = 256;

/** Makes a failure log that writes to `log`. */
export function createFailureLog(log: Log, clock: Clock): FailureLog {
  type Kind = { readonly message: string; repeats: number; timer?: Disposable };
  const kinds = new Map<string, Kind>();
  const tell = ({ message, repeats }: Kind): void =>
    log.write("WARN", `${message} (${repeats} more time${repeats === 1 ? "" : "s"} since this was last written)`);
  const watch = (name: string, kind: Kind): void => {
    kind.timer = clock.after(summaryMs, () => {
      if (kind.repeats === 0) {
        kinds.delete(name);
        return;
      }
      tell(kind);
      kind.repeats = 0;
      watch(name, kind);
    });
  };
  return {
    report(name, message) {
      const known = kinds.get(name);
      if (known) {
        known.repeats++;
        return;
      }
      if (kinds.size >= maxKinds) return;
      const kind: Kind = { message, repeats: 0 };
      kinds.set(name, kind);
      log.write("WARN", message);
      watch(name, kind);
    },
    [Symbol.dispose]() {
      for (const kind of kinds.values()) {
        kind.timer?.[Symbol.dispose]();
        if (kind.repeats > 0) tell(kind);
      }
      kinds.clear();
    },
  };
}
