import { type StreamName, streamName } from "../../base/stream-name.ts";

/** What the tokens of one key are good for, as MistServer has it beside a JWK. Left out: `input` and `output` yes, `admin` no, `stream` "*". */
export type KeyPermissions = {
  readonly input?: boolean;
  readonly output?: boolean;
  readonly admin?: boolean;
  /** Names of streams, each with at most one `*`. */
  readonly stream?: string | readonly string[];
};

export type Permissions = {
  readonly input: boolean;
  readonly output: boolean;
  readonly admin: boolean;
  readonly stream: string | readonly string[];
};

/** The permissions in force: what is left out has MistServer's default. */
export function permissionsOf(given: KeyPermissions = {}): Permissions {
  const { input = true, output = true, admin = false, stream = "*" } = given;
  return { input, output, admin, stream: stream.length === 0 ? "*" : stream };
}

/** True if one of the patterns fits the stream. */
export function coversStream({ stream }: Permissions, name: StreamName): boolean {
  return typeof stream === "string" ? fitsPattern(stream, name) : stream.some((pattern) => fitsPattern(pattern, name));
}

/**
 * Compares a final stream name with a name that may have one `*` in it, which stands for any characters. The pattern is
 * cleaned like a name, so that `Live` means `live`.
 */
export function fitsPattern(pattern: string, name: StreamName): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return streamName(pattern) === name;
  const before = streamName(pattern.slice(0, star));
  const rest = pattern.slice(star + 1);
  const after = before.includes("+") ? rest : streamName(rest);
  return name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after);
}
