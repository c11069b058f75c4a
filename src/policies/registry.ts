import { accessControl } from "./access-control.ts";
import { bandwidthLimit } from "./bandwidth-limit.ts";
import { liveDirectory } from "./live-directory.ts";
import { offlineFallback } from "./offline-fallback.ts";
import { pushTokens } from "./push-tokens.ts";
import { viewerLimit } from "./viewer-limit.ts";
import { viewTokens } from "./view-tokens.ts";
import type { Policy } from "./policy.ts";

/** Makes a policy of its options; throws `SluiceError` "config.invalid" that names the option and what may stand there. */
export type PolicyFactory = (options: never) => Policy;

/** THE list of ready-made policies, by the name that stands in JSON. */
export const policyFactories: Readonly<Record<string, PolicyFactory>> = {
  accessControl,
  bandwidthLimit,
  liveDirectory,
  offlineFallback,
  pushTokens,
  viewerLimit,
  viewTokens,
};

/** A policy from JSON: `use` names it, the rest are its options. Undefined when there is none of this name. */
export function policyOf({ use, ...options }: { readonly use: string } & Readonly<Record<string, unknown>>): Policy | undefined {
  const factory = Object.hasOwn(policyFactories, use) ? policyFactories[use] : undefined;
  return factory?.(options as never);
}
