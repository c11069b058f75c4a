import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

/** Who is called when something has happened to a session. What one of them throws is logged and stops nobody else. */
export class Listeners<Told extends readonly unknown[]> {
  readonly #runs = new Set<(...told: Told) => void>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  add(run: (...told: Told) => void): Disposable {
    this.#runs.add(run);
    return { [Symbol.dispose]: () => void this.#runs.delete(run) };
  }

  tell(...told: Told): void {
    for (const run of this.#runs) {
      try {
        run(...told);
      } catch (error) {
        this.#log.write("ERROR", `A listener of the sessions failed: ${messageOf(error)}`);
      }
    }
  }
}
