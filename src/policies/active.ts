import { isDeepStrictEqual } from "node:util";
import { messageOf } from "../base/errors.ts";
import type { Answer, Handler, Triggers } from "../triggers/trigger.ts";
import type { TriggerName } from "../triggers/table.ts";
import type { Policy, PolicyContext } from "./policy.ts";

/** A policy under the name that the configuration gives it. */
export type NamedPolicy = { readonly name: string; readonly policy: Policy };

type Running = NamedPolicy & { readonly owned: Disposable };

/** How often a policy has answered so since the start; `keep` is no opinion, `failed` an answer that did not come. */
export type PolicyCount = {
  readonly policy: string;
  readonly result: "allow" | "deny" | "rewrite" | "keep" | "failed";
  readonly count: number;
};

/**
 * The policies that are in force. A change starts the new ones before the old ones are stopped, so that no question in
 * between goes unanswered; one that says what it said before goes on, with what it knows.
 */
export class ActivePolicies implements Disposable {
  readonly #context: PolicyContext;
  /** By policy and result. */
  readonly #counts = new Map<string, { -readonly [F in keyof PolicyCount]: PolicyCount[F] }>();
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

  /** Answers of all policies, those that are no longer in force too: counters never go back. */
  counts(): readonly PolicyCount[] {
    return [...this.#counts.values()].map((one) => ({ ...one }));
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
        const running = { name, policy, owned: await policy.start(this.#contextOf(name)) };
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

  /** The context with an `on` whose handlers have the policy's name, and are counted. */
  #contextOf(name: string): PolicyContext {
    const { on } = this.#context;
    const named: Triggers["on"] = (trigger, handler, options) => on(trigger, this.#counted(name, handler), options);
    return { ...this.#context, on: named };
  }

  #counted<K extends TriggerName>(name: string, handler: Handler<K>): Handler<K> {
    const counted: Handler<K> = async (payload, context) => {
      let result: PolicyCount["result"] | undefined = "failed";
      try {
        const answer: Answer<K> = await handler(payload, context);
        result = resultOf(answer);
        return answer;
      } finally {
        if (context.mode === "live" && result !== undefined) this.#count(name, result);
      }
    };
    // Lists, traces and the log name a function by this.
    return Object.defineProperty(counted, "name", { value: `policy ${name}` });
  }

  #count(policy: string, result: PolicyCount["result"]): void {
    const key = `${policy}\n${result}`;
    const counter = this.#counts.get(key) ?? { policy, result, count: 0 };
    counter.count++;
    this.#counts.set(key, counter);
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

/** Undefined for who was only told. */
function resultOf(answer: unknown): PolicyCount["result"] | undefined {
  if (typeof answer === "boolean") return answer ? "allow" : "deny";
  if (typeof answer === "string") return "rewrite";
  return (answer as { readonly kind?: PolicyCount["result"] } | undefined)?.kind;
}
