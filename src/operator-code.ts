import { messageOf } from "./base/errors.ts";
import type { Log } from "./base/log.ts";
import type { Configuration } from "./config/configuration.ts";
import type { LoadedConfiguration } from "./config/load.ts";
import { madeOf } from "./config/policy-entries.ts";
import { registerHandlers } from "./config/trigger-entries.ts";
import { ActivePolicies, type NamedPolicy, type PolicyCount } from "./policies/active.ts";
import type { PolicyContext } from "./policies/policy.ts";
import type { TriggerBus } from "./triggers/bus.ts";

export type OperatorCodeOptions = {
  readonly configuration: Configuration;
  readonly triggers: TriggerBus;
  readonly policies: Omit<PolicyContext, "on">;
  readonly log: Log;
};

/** What the operator's code is at the moment: policies first, then the functions of the configuration, then handlers by address. */
export interface OperatorCode extends Disposable {
  /** Takes what a file that was loaded anew says. Rejects, and changes nothing, when a policy of it cannot start or a value is wrong. */
  reload(next: LoadedConfiguration): Promise<readonly string[]>;
  /** The policies that are in force. */
  policies(): readonly NamedPolicy[];
  /** Resolves when the last change of the policies is in force, or was given up with a line in the log. */
  policiesSettled(): Promise<void>;
  /** What policies have answered since the start. */
  policyCounts(): readonly PolicyCount[];
}

/** Puts the configuration's handlers and policies in force, and keeps them in step with changes. Rejects with "config.invalid". */
export async function startOperatorCode(loaded: LoadedConfiguration, options: OperatorCodeOptions): Promise<OperatorCode> {
  const { configuration, triggers, log } = options;
  using opened = new DisposableStack();
  const active = opened.use(new ActivePolicies({ ...options.policies, on: triggers.on.bind(triggers), log }));
  let made = loaded.policies;
  let changing: Promise<void> = Promise.resolve();
  await active.apply([...made, ...madeOf(configuration.settings.policies)]);
  let functions = registerHandlers(triggers, loaded.handlers);
  opened.defer(() => functions[Symbol.dispose]());
  triggers.configure(configuration.settings.triggers);
  opened.use(
    configuration.onChange((now, before) => {
      if (now.triggers !== before.triggers) triggers.configure(now.triggers);
      if (JSON.stringify(now.policies) === JSON.stringify(before.policies)) return;
      changing = active.apply([...made, ...madeOf(now.policies)]).catch((error: unknown) => {
        log.write("ERROR", `A policy could not be started, the old ones stay in force: ${messageOf(error)}`);
      });
    }),
  );
  const owned = opened.move();
  return {
    policies: () => active.list(),
    policiesSettled: () => changing,
    policyCounts: () => active.counts(),
    async reload(next) {
      // New ones are in force before anything else of the file is: a policy that fails refuses the whole file.
      await active.apply([...next.policies, ...madeOf(configuration.settings.policies)]);
      made = next.policies;
      // All in one step. Calls that run go on with the functions that they began with; those that come find all the new ones.
      return await configuration.reload(next.values, () => {
        const after = registerHandlers(triggers, next.handlers);
        functions[Symbol.dispose]();
        functions = after;
      });
    },
    [Symbol.dispose]: () => owned[Symbol.dispose](),
  };
}
