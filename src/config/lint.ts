import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { entryPolicy, type HandlerEntry, handlerLabel, isUrl, parseTriggerEntries } from "../triggers/entry.ts";
import type { FailureCause } from "../triggers/failure/failure-cause.ts";
import { alwaysOnFail, type FailurePolicy, readOnFail } from "../triggers/failure/on-fail.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../triggers/table.ts";
import { functionFailure } from "../triggers/answer.ts";
import type { LoadedConfiguration } from "./load.ts";
import { describeUnknown, fieldPath } from "./problem.ts";
import { type Settings, streamSettings } from "./settings.ts";

/** Something in a valid configuration that a person should look at. */
export type Finding = {
  /** `warning`: it is probably not meant so. `note`: it is said on purpose, or harmless. */
  readonly severity: "warning" | "note";
  /** The field, as a programmer would write it; empty when it is about none. */
  readonly path: string;
  readonly message: string;
};

type Surroundings = { readonly cwd: string; readonly searchPath: string };

/**
 * Looks through a configuration for what works but not as it seems: who lets people in when it fails, who cannot be
 * called, what is never asked. Starts nothing and asks nobody; files are only looked at.
 */
export function lintConfiguration(loaded: LoadedConfiguration, around: Surroundings): readonly Finding[] {
  const root = loaded.mist ? ["config", "triggers"] : ["triggers"];
  return [
    ...loaded.warnings.map((message): Finding => ({ severity: "note", path: "", message })),
    ...lintEntries(loaded.settings.triggers, root, around),
    ...lintFunctions(loaded),
    ...lintStreams(loaded.settings, around),
    ...lintSessions(loaded),
    ...lintAccess(loaded.settings),
  ];
}

function lintEntries(given: Settings["triggers"], root: readonly string[], around: Surroundings): Finding[] {
  const { handlers, unknown } = parseTriggerEntries(given, fieldPath(root));
  const findings = unknown.map((name): Finding => {
    const message = `${describeUnknown([name], Object.keys(triggers), "trigger")}; these handlers are never asked`;
    return { severity: "warning", path: fieldPath([...root, name]), message };
  });
  for (const [name, entries] of handlers) {
    for (const [index, entry] of entries.entries()) {
      const path = fieldPath([...root, name, index]);
      for (const [severity, message] of aboutEntry(name, entry, around)) findings.push({ severity, path, message });
    }
  }
  return findings;
}

type Remark = readonly [severity: Finding["severity"], message: string];

function aboutEntry(name: TriggerName, entry: HandlerEntry, around: Surroundings): Remark[] {
  const { access, fired }: TriggerDefinition = triggers[name];
  const label = handlerLabel(entry);
  const remarks: Remark[] = [];
  if (!fired) remarks.push(["note", `${name} is not fired yet: ${label} is never asked`]);
  if (access && entry.mode !== "shadow") {
    if (!entry.sync) remarks.push(["note", `${label} is only told (sync: false): it refuses nobody`]);
    else remarks.push(...failsOpen(name, label, entryPolicy(name, entry), entry.onFail !== undefined, '`onFail: "deny"`'));
  }
  if (isUrl(entry.handler)) {
    const { protocol, hostname } = new URL(entry.handler);
    const open = protocol === "http:" && !isLoopback(hostname) && entry.call.secrets.length === 0;
    if (open) {
      const advice = 'use https://, or `format: "json"` with a `secret`';
      remarks.push(["warning", `${label} is called in the clear and unsigned, over a network: ${advice}`]);
    }
  } else {
    const wrong = executableFault(entry.handler, around);
    if (wrong) remarks.push(["warning", `${label} ${wrong}: each call will fail`]);
  }
  return remarks;
}

function lintFunctions({ handlers }: LoadedConfiguration): Finding[] {
  return handlers.flatMap(({ name, handle, options }) => {
    if (!(triggers[name] as TriggerDefinition).access || options.mode === "shadow") return [];
    const policy = options.onFail === undefined ? alwaysOnFail(functionFailure(name)) : readOnFail(name, options.onFail, "onFail");
    const label = handle.name && handle.name !== name && handle.name !== "handle" ? `the function "${handle.name}"` : "the function";
    const remarks = failsOpen(name, label, policy, options.onFail !== undefined, "`{ handle, onFail: deny(reason) }`");
    return remarks.map(([severity, message]): Finding => ({ severity, message, path: fieldPath(["triggers", name]) }));
  });
}

/** Who lets people in when it fails; a note where `onFail` says so, for that was written for it. */
function failsOpen(name: TriggerName, label: string, policy: FailurePolicy, said: boolean, advice: string): Remark[] {
  const causes = (Object.keys(policy) as FailureCause[]).filter((cause) => policy[cause].reading?.kind !== "deny");
  const [first] = causes;
  if (first === undefined) return [];
  const { reading } = policy[first];
  const then =
    reading?.kind === "allow"
      ? "everybody is let in"
      : reading?.kind === "rewrite"
        ? `everybody goes on to "${reading.to}"`
        : "everybody goes on under the name that they gave";
  const when = causes.length === Object.keys(policy).length ? "it fails" : `it fails by ${causes.join(", ")}`;
  const known = policy[first].lastKnown ? " (who is new)" : "";
  return [[said ? "note" : "warning", `${name} fails open: when ${when}, ${then}${known}; ${label} fails closed with ${advice}`]];
}

function lintStreams({ streams, defaultStream, defaultSource }: Settings, around: Surroundings): Finding[] {
  const findings: Finding[] = [];
  const fallbackOf = (name: string): string => {
    const entry = Object.hasOwn(streams, name) ? streams[name] : undefined;
    return entry ? (streamSettings(entry).fallback_stream ?? "") : "";
  };
  const missing = (name: string): boolean => !name.includes("$") && defaultSource === undefined && !Object.hasOwn(streams, baseOf(name));
  for (const [name, entry] of Object.entries(streams)) {
    const { source } = streamSettings(entry);
    const fallback = fallbackOf(name);
    const path = fieldPath(["streams", name, "fallback_stream"]);
    if (fallback !== "" && missing(fallback)) findings.push({ severity: "warning", path, message: `there is no stream "${fallback}"` });
    const loop = loopFrom(name, (one) => baseOf(fallbackOf(one)));
    // Each loop is told once, where its first name by the alphabet stands.
    if (loop && loop.toSorted()[0] === name)
      findings.push({ severity: "warning", path, message: `the fallbacks go in a circle: ${[...loop, name].join(" -> ")}` });
    if (source.startsWith("/") && !/[$%*]/.test(source) && !existsSync(resolve(around.cwd, source)))
      findings.push({ severity: "warning", path: fieldPath(["streams", name, "source"]), message: `there is no file ${source}` });
  }
  if (defaultStream !== "" && missing(defaultStream))
    findings.push({ severity: "warning", path: "defaultStream", message: `there is no stream "${defaultStream}"` });
  return findings;
}

/** The names of a circle that goes through `start`; undefined when there is none. */
function loopFrom(start: string, next: (name: string) => string): string[] | undefined {
  const seen = [start];
  for (let name = next(start); name !== ""; name = next(name)) {
    if (name === start) return seen;
    if (seen.includes(name)) return undefined;
    seen.push(name);
  }
  return undefined;
}

function lintSessions({ settings, handlers }: LoadedConfiguration): Finding[] {
  const asked = handlers.some(({ name }) => name === "USER_NEW") || Object.hasOwn(settings.triggers, "USER_NEW");
  if (!asked || (settings.sessionViewerMode & 6) !== 0) return [];
  const message =
    "neither the address (4) nor the token (2) makes a session: all viewers are one, and USER_NEW's first answer holds for all";
  return [{ severity: "warning", path: "sessionViewerMode", message }];
}

function lintAccess({ apiLocalAccess, account }: Settings): Finding[] {
  if (apiLocalAccess || Object.values(account).some(({ scope = "admin" }) => scope === "admin")) return [];
  const message =
    "nobody can change anything over the API: there is no account with the scope admin, and programs on this machine need one";
  return [{ severity: "warning", path: "apiLocalAccess", message }];
}

/** What is wrong with an executable handler; undefined when it can be run. */
function executableFault(handler: string, { cwd, searchPath }: Surroundings): string | undefined {
  const candidates = handler.includes("/") ? [resolve(cwd, handler)] : searchPath.split(delimiter).map((folder) => join(folder, handler));
  const found = candidates.find((path) => isAbsolute(path) && statSync(path, { throwIfNoEntry: false })?.isFile());
  if (found === undefined) return "is no file";
  try {
    accessSync(found, constants.X_OK);
    return undefined;
  } catch {
    return "may not be executed (chmod +x)";
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function baseOf(name: string): string {
  return name.split("+", 1)[0] ?? name;
}
