import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { TriggerName } from "../../src/triggers/table.ts";
import { triggerCapabilities } from "../../src/triggers/reference.ts";
import { environment, parsePayload, payloadText, type Raise, requestHeaders, type ServerIdentity } from "../../src/triggers/wire.ts";

/** Calls recorded from a real MistServer: test/fixtures/golden/triggers/NAME.json. */
type Recorded = {
  readonly requests: readonly { readonly case: string; readonly headers: Readonly<Record<string, string>>; readonly body: string }[];
  readonly executables: readonly {
    readonly case: string;
    readonly argv: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly stdin: string;
  }[];
};

const folder = new URL("../fixtures/golden/triggers/", import.meta.url);
const read = <T>(file: string): T => JSON.parse(readFileSync(new URL(file, folder), "utf8")) as T;
const names = readdirSync(folder)
  .map((file) => file.replace(/\.json$/, ""))
  .filter((name): name is TriggerName => name !== "capabilities");

const identity = (version = "", instance = "", pid = "0", serverId = ""): ServerIdentity => ({
  version,
  instance,
  pid: Number(pid),
  serverId: () => serverId,
});

/** Dates are local time, and the recording machine's zone was UTC. */
const utcOnly = (headers: Readonly<Record<string, string>>) => ({ ...headers, Date: Date.parse(headers.Date ?? "") });

describe.each(names)("%s as MistServer sent it", (name) => {
  const { requests, executables } = read<Recorded>(`${name}.json`);

  it("has recordings", () => {
    expect(requests.length + executables.length).toBeGreaterThan(0);
  });

  it.each(requests)("$case: the same body and headers from the parsed fields", ({ headers, body }) => {
    expect(payloadText(name, parsePayload(name, body))).toBe(body);
    const uuid = headers["X-Trigger-UUID"] ?? "";
    const raise: Raise = { name, uuid, unixMillis: Number(headers["X-Trigger-UnixMillis"]), body };
    const server = identity(headers["X-Version"], headers["X-Instance"], headers["X-PID"], headers["X-Name"]);
    const ours = requestHeaders(raise, server, Number(headers["X-Attempt"]));
    const { Host: _, ...theirs } = headers; // the HTTP client adds it
    // Ours in addition: the older name of the UUID, and who we are.
    expect(utcOnly(ours)).toEqual(utcOnly({ ...theirs, "X-UUID": uuid, "User-Agent": `${theirs["User-Agent"]} (Sluice)` }));
    expect(Object.keys(ours)).toEqual([...Object.keys(theirs), "X-UUID"].toSorted());
  });

  it.each(executables)("$case: the same argument, input and environment", ({ argv, env, stdin }) => {
    expect(argv).toEqual([name]);
    expect(payloadText(name, parsePayload(name, stdin))).toBe(stdin);
    const raise: Raise = { name, uuid: env.MIST_TUUID ?? "", unixMillis: Number(env.MIST_TIME), body: stdin };
    // The first two are between MistServer's own programs.
    const { MIST_CONTROL: _, MIST_ORIGINAL_SOURCE: __, MIST_DATE: date = "", ...theirs } = env;
    const { MIST_DATE: ourDate = "", ...ours } = environment(
      raise,
      identity("", env.MIST_INSTANCE, env.MIST_PID, env.MIST_NAME),
      undefined,
    );
    expect(ours).toEqual(theirs);
    // MistServer may have taken the two times on both sides of a second.
    expect(Math.abs(Date.parse(ourDate) - Date.parse(date))).toBeLessThanOrEqual(1000);
  });
});

describe("capabilities", () => {
  it("lists MistServer's 31 triggers with the same kinds of answers and arguments", () => {
    type Facts = { readonly stream_specific: boolean; readonly response: string; readonly argument: boolean };
    const theirs = read<Record<string, Facts & { readonly lines: number }>>("capabilities.json");
    const facts = (listing: Readonly<Record<string, Facts>>) =>
      Object.fromEntries(
        Object.entries(listing).map(([name, { stream_specific, response, argument }]) => [name, { stream_specific, response, argument }]),
      );
    const ours = Object.fromEntries(
      Object.entries(triggerCapabilities()).map(([name, row]) => [name, { ...row, argument: row.argument !== undefined }]),
    );
    expect(Object.keys(ours)).toHaveLength(31);
    expect(facts(ours)).toEqual(facts(theirs));
    expect(triggerCapabilities().USER_END?.payload.split("\n")).toHaveLength(12); // MistServer lists 8 of the 12 that it sends
  });
});
