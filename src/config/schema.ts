import { z } from "zod";
import { messageOf, SluiceError } from "../base/errors.ts";
import { type LogKind, logKinds } from "../base/log.ts";
import { identityWords, readSessionIdentity } from "../base/session-identity.ts";
import { streamName } from "../base/stream-name.ts";
import { accountKeys, accountSchema } from "./account.ts";
import { fallbackKeys, fallbackShape } from "./fallback-shape.ts";
import { keysAt, limitsSchema } from "./limit-rule.ts";
import { describeProblem, describeUnknown } from "./problem.ts";
import { defaultJournal } from "../triggers/journal/journal.ts";
import { defaultLiveList, latencies, type SettingValues } from "./settings.ts";
import { jwksSchema, streamKeysSchema } from "./token-settings.ts";

const integer = (low: number, high: number, words: string) => z.number(words).int(words).min(low, words).max(high, words);
const text = (words = "a text") => z.string(words);
const host = text("an address to listen on, such as 0.0.0.0, 127.0.0.1 or ::").min(1, "an address, such as 0.0.0.0 or ::");
const port = integer(0, 65_535, "a port number from 0 to 65535");
const mask = (what: string) => integer(0, 15, `a number from 0 to 15, the sum of ${what}`);
const sessionMask = mask("8 (stream), 4 (address), 2 (token), 1 (protocol)");
const milliseconds = z.number("a number of milliseconds").min(0, "a number of milliseconds, not below 0");
const seconds = z.number("a number of seconds").min(0, "a number of seconds, not below 0");
const onOff = z.union([z.boolean(), z.literal(0), z.literal(1)], "true or false");
const list = (words: string) => z.array(text(words), words);

/** The keys of a stream that MistServer knows; those without an effect here are accepted and kept. */
const streamShape = {
  source: text('a source, such as "push://" or "/path/to/file.mp4"'),
  name: text().optional(),
  fallback_stream: text("the name of a stream").optional(),
  always_on: onOff.optional(),
  hidden: onOff.optional(),
  tags: list("a list of texts").optional(),
  DVR: milliseconds.optional(),
  segmentsize: milliseconds.optional(),
  resume: onOff.optional(),
  inputtimeout: seconds.optional(),
  requireToken: onOff.optional(),
  fallback: fallbackShape.optional(),
  cut: milliseconds.optional(),
  maxkeepaway: milliseconds.optional(),
  idleTime: milliseconds.optional(),
  pagetimeout: seconds.optional(),
  stop_sessions: z.unknown().optional(),
  processes: z.unknown().optional(),
  debug: z.unknown().optional(),
};

const shorthand = (value: unknown): unknown => (typeof value === "string" ? { source: value } : value);
const streamWords = "a source as text, or an object with a `source`";
const strictStream = z.preprocess(shorthand, z.strictObject(streamShape, streamWords));

const numeric = z.union([z.number(), z.string().regex(/^\s*\d*(\.\d+)?\s*$/), z.null()], "a number");
const looseSwitch = z.union([z.boolean(), z.number(), z.string(), z.null()], "true or false");
/** A stream in MistServer's shape and through the API: unknown keys pass, numbers and switches may be written loosely. */
const looseStream = z.looseObject(
  {
    source: z.union([z.string(), z.null()], "a source as text").default(null),
    fallback_stream: z.union([z.string(), z.null()], "the name of a stream").optional(),
    tags: z.union([z.array(z.string()), z.string(), z.null()], "a list of texts").optional(),
    always_on: looseSwitch.optional(),
    hidden: looseSwitch.optional(),
    requireToken: looseSwitch.optional(),
    fallback: fallbackShape.optional(),
    resume: looseSwitch.optional(),
    DVR: numeric.optional(),
    segmentsize: numeric.optional(),
    inputtimeout: numeric.optional(),
  },
  "an object with a `source`",
);

const kindByName = new Map<string, LogKind>(logKinds.map((kind) => [kind.toLowerCase(), kind]));
const logLevelWords = `one of ${logKinds.join(", ")}`;

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

const pemFile = (what: string) => text(`the path of a PEM file with ${what}`).min(1, `the path of a PEM file with ${what}`);
const httpsShape = {
  port: port.default(4433),
  host: host.optional(),
  cert: pemFile("the certificate, and those that lead to a known authority behind it"),
  key: pemFile("the certificate's private key"),
};

const storeWords = "the address of a PostgreSQL database: postgres://USER:PASSWORD@HOST:5432/DATABASE";

/** Every setting that stands for itself. `triggers` and `protocols` are read by their own parts. */
export const settingSchemas = {
  host,
  rtmpHost: host,
  httpHost: host,
  apiHost: host,
  rtmpPort: port,
  httpPort: port,
  apiPort: port,
  data: text("the path of a directory").min(1, "the path of a directory"),
  store: text(storeWords).regex(/^postgres(ql)?:\/\/./i, storeWords),
  logLevel: z.preprocess(
    (value) => (typeof value === "string" ? (kindByName.get(value.toLowerCase()) ?? value) : value),
    z.enum(logKinds, logLevelWords),
  ),
  latency: z.enum(latencies, `one of ${latencies.join(", ")}`),
  serverid: text(),
  defaultSource: text('a source, such as "push://"'),
  defaultStream: text("the name of a stream, or empty"),
  trustedproxy: list("a list of addresses, ranges or host names"),
  proxyProtocol: z.boolean("true or false"),
  https: z
    .strictObject(httpsShape, "an object with `cert` and `key`")
    .transform(({ host: own, ...rest }) => ({ ...rest, ...(own !== undefined && { host: own }) })),
  sessionViewerMode: sessionMask,
  sessionIdentity: z.union([text(), z.array(text())], identityWords).transform((given, context) => {
    try {
      return readSessionIdentity(given);
    } catch (error) {
      context.addIssue({ code: "custom", message: `${identityWords} (${messageOf(error)})` });
      return z.NEVER;
    }
  }),
  sessionInputMode: sessionMask,
  sessionOutputMode: sessionMask,
  sessionUnspecifiedMode: sessionMask,
  sessionStreamInfoMode: integer(1, 4, "1 (as viewer), 2 (as output), 3 (no session) or 4 (unspecified)"),
  tknMode: mask("1 (read from query), 2 (read from cookie), 4 (write into URLs), 8 (write as cookie)"),
  apiLocalAccess: z.boolean("true or false"),
  accesslog: text('empty, "LOG" or the path of a file'),
  jwks: jwksSchema,
  requireToken: z.boolean("true or false"),
  liveList: z
    .union(
      [
        z.boolean(),
        z
          .strictObject({ viewers: z.boolean("true or false"), readers: integer(0, 1_000_000, "a number of readers from 0 to 1000000") })
          .partial(),
      ],
      "true, false, or an object with viewers, readers",
    )
    .transform((given) => given !== false && { ...defaultLiveList, ...(given === true ? {} : withoutUndefined(given)) }),
  journal: z.preprocess(
    (value) => (typeof value === "string" ? { mode: value } : value),
    z
      .strictObject(
        {
          mode: z.enum(["off", "sampled", "full"], "one of off, sampled, full"),
          sample: z.number("a number from 0 to 1").min(0, "a number from 0 to 1").max(1, "a number from 0 to 1"),
          bytes: integer(65_536, 2 ** 40, "a number of bytes, at least 65536"),
          unmasked: z.boolean("true or false"),
        },
        "off, sampled, full, or an object with mode, sample, bytes, unmasked",
      )
      .partial()
      .transform((given) => ({ ...defaultJournal, ...withoutUndefined(given) })),
  ),
} as const;

const ownShape = {
  ...settingSchemas,
  streams: z.record(z.string(), strictStream, "an object with stream names as keys"),
  account: z.record(z.string(), accountSchema, "an object with user names as keys"),
  streamkeys: streamKeysSchema,
  limits: limitsSchema,
  listing: z.unknown(),
  triggers: z.record(z.string(), z.unknown(), "an object with trigger names as keys"),
  policies: z.unknown(),
  protocols: z.record(z.string(), z.unknown(), "an object with protocol names as keys"),
};

const ownSchema = z.strictObject(ownShape, "an object").partial();

/** The names of all settings of our own shape. */
const settingNames = Object.keys(ownShape);

export type OwnShape = z.infer<typeof ownSchema>;

/** Checks our own shape but for `triggers` and `protocols`. Throws `SluiceError` "config.invalid" with a line for each wrong field. */
export function parseOwnShape(value: unknown, where: string): OwnShape {
  const result = ownSchema.safeParse(value);
  if (!result.success) throw problemsOf(result.error, value, where);
  for (const name of Object.keys(result.data.streams ?? {})) checkStreamName(name, where);
  return result.data;
}

/** Checks one stream in MistServer's shape; throws "config.invalid". What the API adds to a stream when it shows it is left out. */
export function parseLooseStream(name: string, value: unknown, where: string): NonNullable<SettingValues["streams"]>[string] {
  checkStreamName(name, where);
  const result = looseStream.safeParse(value);
  if (!result.success) throw problemsOf(result.error, value, where, ["streams", name]);
  const { name: _name, online: _online, error: _error, ...entry } = result.data;
  return entry;
}

/** Checks a single setting that stands at `path`; throws "config.invalid" naming it. */
export function parseSetting<K extends keyof typeof settingSchemas>(
  key: K,
  value: unknown,
  where: string,
  path: readonly PropertyKey[] = [key],
): z.infer<(typeof settingSchemas)[K]> {
  const result = settingSchemas[key].safeParse(value);
  if (!result.success) throw problemsOf(result.error, value, where, path);
  return result.data as z.infer<(typeof settingSchemas)[K]>;
}

/** A configured name is a base name in its final form, since that is what clients' names are made into. */
export function checkStreamName(name: string, where: string): void {
  const clean = streamName(name);
  if (clean === name && clean !== "" && !clean.includes("+")) return;
  const advice = clean.replace(/\+.*$/, "");
  throw new SluiceError(
    "config.invalid",
    `${where}: streams[${JSON.stringify(name)}] is no stream name; use a-z, 0-9, "_", "." and "-"${advice === "" ? "" : `: "${advice}"`}`,
  );
}

function problemsOf(error: z.ZodError, root: unknown, where: string, prefix: readonly PropertyKey[] = []): SluiceError {
  const lines = error.issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    if (issue.code !== "unrecognized_keys") return [describeProblem(path, valueAt(root, issue.path), issue.message)];
    const known =
      path.length === 0
        ? settingNames
        : path[0] === "streams"
          ? path[2] === "fallback"
            ? fallbackKeys
            : Object.keys(streamShape)
          : path[0] === "journal"
            ? Object.keys(defaultJournal)
            : path[0] === "liveList"
              ? Object.keys(defaultLiveList)
              : path[0] === "https"
                ? Object.keys(httpsShape)
                : path[0] === "limits"
                  ? keysAt(path)
                  : accountKeys;
    return issue.keys.map((key) => describeUnknown([...path, key], known));
  });
  const more = lines.length > 10 ? [`(and ${lines.length - 10} more)`] : [];
  return new SluiceError("config.invalid", [...lines.slice(0, 10).map((line) => `${where}: ${line}`), ...more].join("\n"));
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}
