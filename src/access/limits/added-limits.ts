import type { LimitRule } from "./limit.ts";

type Rules = Readonly<Record<string, LimitRule>>;

/** Limits that policies have added to those of the configuration; one of the configuration with the same name counts in its place. */
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
      this.#known = { configured, added: this.#added, all: { ...named(this.#added), ...configured } };
    }
    return this.#known.all;
  }

  /** A rule of a policy, until disposed. Of two with the same name both hold; the later one is shown as `name-2`. */
  add(name: string, rule: LimitRule): Disposable {
    const one = { name, rule };
    this.#added = [...this.#added, one];
    return { [Symbol.dispose]: () => void (this.#added = this.#added.filter((other) => other !== one)) };
  }
}

function named(added: readonly { readonly name: string; readonly rule: LimitRule }[]): Rules {
  const rules: Record<string, LimitRule> = {};
  for (const { name, rule } of added) {
    let free = name;
    for (let number = 2; Object.hasOwn(rules, free); number++) free = `${name}-${number}`;
    rules[free] = rule;
  }
  return rules;
}
