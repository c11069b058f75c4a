import type { LimitRule } from "./limit.ts";

type Rules = Readonly<Record<string, LimitRule>>;

/** Limits that policies have added to those of the configuration; one of the configuration with the same name counts before. */
export class AddedLimits {
  readonly #configured: () => Rules;
  #added: readonly { readonly name: string; readonly rule: LimitRule }[] = [];
  #known: { readonly configured: Rules; readonly added: unknown; readonly all: Rules } | undefined;

  constructor(configured: () => Rules) {
    this.#configured = configured;
  }

  /** All rules in force; the same object as long as nothing has changed. */
  rules(): Rules {
    const configured = this.#configured();
    if (this.#known?.configured !== configured || this.#known.added !== this.#added) {
      const added = Object.fromEntries(this.#added.map(({ name, rule }) => [name, rule]));
      this.#known = { configured, added: this.#added, all: { ...added, ...configured } };
    }
    return this.#known.all;
  }

  /** A rule of a policy, until disposed. Two of the same name are both kept, the later one counts. */
  add(name: string, rule: LimitRule): Disposable {
    const one = { name, rule };
    this.#added = [...this.#added, one];
    return { [Symbol.dispose]: () => void (this.#added = this.#added.filter((other) => other !== one)) };
  }
}
