import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import type { NamedPolicy } from "../policies/active.ts";
import type { Policy } from "../policies/policy.ts";
import { policyFactories, policyOf } from "../policies/registry.ts";
import { describeUnknownValue, fieldPath, problem } from "./problem.ts";

/** A policy as it stands in JSON. */
export type PolicyEntry = { readonly use: string } & Readonly<Record<string, unknown>>;

/** What `policies` says, parted: those that TypeScript made, and those of JSON by name. */
export type PolicyParts = { readonly made: readonly NamedPolicy[]; readonly entries: Readonly<Record<string, PolicyEntry>> };

const words =
  'a list of policies: what pushTokens() and the others give, "pushTokens", or { "use": "pushTokens", ...options }; or an object of such by name';

/** Reads `policies`. Throws `SluiceError` "config.invalid" naming the field. */
export function readPolicies(value: unknown, where: string): PolicyParts {
  const made: NamedPolicy[] = [];
  const entries: Record<string, PolicyEntry> = {};
  const named = Array.isArray(value)
    ? value.map((item: unknown, index) => [index, typeof item === "string" ? { use: item } : item] as const)
    : isObject(value)
      ? Object.entries(value)
      : undefined;
  if (value === undefined || value === null) return { made, entries };
  if (!named) throw problem(where, ["policies"], value, words);
  const taken = new Set<string>();
  for (const [key, item] of named) {
    const path = ["policies", key];
    if (!isObject(item)) throw problem(where, path, item, words);
    const use = isPolicy(item) ? item.name : item["use"];
    const name = typeof key === "string" ? key : freeName(String(use), taken);
    taken.add(name);
    if (isPolicy(item)) made.push({ name, policy: item });
    else {
      checkPolicyEntry(item, where, path);
      entries[name] = item as PolicyEntry;
    }
  }
  return { made, entries };
}

/** Throws "config.invalid" unless this is a policy of JSON that can be made. */
export function checkPolicyEntry(item: unknown, where: string, path: readonly PropertyKey[]): void {
  if (!isObject(item)) throw problem(where, path, item, words);
  const use = item["use"];
  if (typeof use !== "string")
    throw problem(where, [...path, "use"], use, `the name of a policy: ${Object.keys(policyFactories).join(", ")}`);
  try {
    if (policyOf(item as PolicyEntry)) return;
  } catch (error) {
    if (!isSluiceError(error, "config.invalid")) throw error;
    throw new SluiceError("config.invalid", `${where}: ${fieldPath(path)}: ${messageOf(error)}`, { cause: error });
  }
  const fault = describeUnknownValue([...path, "use"], use, Object.keys(policyFactories), "policy");
  throw new SluiceError("config.invalid", `${where}: ${fault}`);
}

/** The policies of JSON, made. They were checked when they were taken. */
export function madeOf(entries: Readonly<Record<string, PolicyEntry>>): readonly NamedPolicy[] {
  return Object.entries(entries).flatMap(([name, entry]) => {
    const policy = policyOf(entry);
    return policy ? [{ name, policy }] : [];
  });
}

function isPolicy(item: object): item is Policy {
  return "start" in item && typeof item.start === "function" && "name" in item && typeof item.name === "string";
}

function freeName(use: string, taken: ReadonlySet<string>): string {
  let name = use;
  for (let count = 2; taken.has(name); count++) name = `${use}-${count}`;
  return name;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
