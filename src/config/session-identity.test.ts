import { describe, expect, it } from "vitest";
import { isSluiceError } from "../base/errors.ts";
import { readConfiguration } from "./load.ts";
import { parseSetting } from "./schema.ts";

const read = (value: unknown): unknown => readConfiguration(value, "sluice.config.ts").settings.sessionIdentity;
const problem = (value: unknown): string => {
  try {
    return `read as ${JSON.stringify(read(value))}`;
  } catch (error) {
    return isSluiceError(error, "config.invalid") ? error.message : `not "config.invalid": ${error}`;
  }
};

describe("the setting sessionIdentity", () => {
  it("is a text or a list, in our own shape and in MistServer's; none if left out", () => {
    expect(read({ sessionIdentity: "stream, claim:sub|token, ip/24" })).toEqual(["stream", "claim:sub | token", "ip/24/64"]);
    expect(read({ sessionIdentity: ["stream", "token"] })).toEqual(["stream", "token"]);
    expect(read({ config: { sessionIdentity: "stream, user" }, streams: {} })).toEqual(["stream", "user"]);
    expect([read({}), read({ sessionIdentity: "" })]).toEqual([[], []]);
  });

  it("that is wrong says what, where, and what may stand there", () => {
    expect(problem({ sessionIdentity: "stream, tokens" })).toMatch(
      /^sluice\.config\.ts: sessionIdentity is "stream, tokens"; it must be parts such as "stream, token, ip\/24": .*cookie:NAME, claim:NAME.* \("tokens" is no part of an identity\)$/,
    );
    expect(problem({ sessionIdentity: ["stream", "ip/99"] })).toContain('("ip/99" is no part of an identity)');
    for (const sessionIdentity of [5, null, {}, [5], true]) expect(problem({ sessionIdentity })).toContain("sessionIdentity");
    expect(problem({ config: { sessionIdentity: 5 } })).toContain("config.sessionIdentity is 5");
  });

  it("is kept in a form that is read the same again", () => {
    const kept = parseSetting("sessionIdentity", "ip/24, cookie:a | user", "the change");
    expect(parseSetting("sessionIdentity", JSON.parse(JSON.stringify(kept)), "the store")).toEqual(kept);
  });
});
