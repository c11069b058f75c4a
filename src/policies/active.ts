import { isDeepStrictEqual } from "node:util";
import { messageOf } from "../base/errors.ts";
import type { Policy, PolicyContext } from "./policy.ts";

/** A policy under the name that the configuration gives it. */
export type NamedPolicy = { readonly name: string; readonly policy: Policy };

type Running = NamedPolicy & { readonly owned: Disposable };

/**
 * The policies that are in force. A change starts the new ones before the old ones are stopped, so that no question in
 * between goes unanswered; one that says what it said before goes on, with what it knows.
 */
export class ActivePolicies implements Disposable {
  readonly #context: PolicyContext;
  #running: readonly Running[] = [];
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(context: PolicyContext) {
    this.#context = context;
  }

  /** What is in force, in the order in which they are asked. */
  list(): readonly NamedPolicy[] {
    return this.#running.map(({ name, policy }) => ({ name, policy }));
  }

  /** Puts these in force and no others. Rejects with what one of them throws at its start; then nothing has changed. */
  apply(wanted: readonly NamedPolicy[]): Promise<void> {
    const done = this.#queue.then(() => this.#apply(wanted));
    this.#queue = done.catch(() => undefined);
    return done;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#stop(this.#running);
    this.#running = [];
  }

  async #apply(wanted: readonly NamedPolicy[]): Promise<void> {
    const next: Running[] = [];
    const begun: Running[] = [];
    try {
      for (const { name, policy } of wanted) {
        const known = this.#running.find((one) => one.name === name && one.policy.name === policy.name && sameOptions(one.policy, policy));
        if (known) {
          next.push(known);
          continue;
        }
        const running = { name, policy, owned: await policy.start(this.#context) };
        begun.push(running);
        next.push(running);
      }
    } catch (error) {
      this.#stop(begun);
      throw error;
    }
    if (this.#closed) return this.#stop(begun);
    const left = this.#running.filter((one) => !next.includes(one));
    this.#running = next;
    this.#stop(left);
  }

  #stop(running: readonly Running[]): void {
    for (const { name, owned } of running) {
      try {
        owned[Symbol.dispose]();
      } catch (error) {
        this.#context.log.write("ERROR", `The policy ${name} could not be stopped: ${messageOf(error)}`);
      }
    }
  }
}

/** Functions are compared by identity: those of a file that was loaded anew are others. */
function sameOptions(one: Policy, other: Policy): boolean {
  return isDeepStrictEqual(one.options, other.options);
}
