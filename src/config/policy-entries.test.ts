import { describe, expect, it } from "vitest";
import { readPolicies } from "./policy-entries.ts";

const read = (value: unknown) => readPolicies(value, "sluice.config.json");

describe("policies", () => {
  it("are named by a plain text in a list when they need no options", () => {
    expect(read(["pushTokens", { use: "viewTokens", streams: ["live"] }, "pushTokens"]).entries).toEqual({
      pushTokens: { use: "pushTokens" },
      viewTokens: { use: "viewTokens", streams: ["live"] },
      "pushTokens-2": { use: "pushTokens" },
    });
  });

  it.each([
    [{ a: { use: "pushToken" } }, 'policies.a.use is "pushToken", which is no known policy; did you mean "pushTokens"?'],
    [["pushToken"], 'policies[0].use is "pushToken", which is no known policy; did you mean "pushTokens"?'],
    [
      [{ use: "something else" }],
      /^sluice\.config\.json: policies\[0\]\.use is "something else", which is no known policy; known are .*pushTokens/,
    ],
    [[{ use: 5 }], "policies[0].use is 5; it must be the name of a policy: "],
    [[5], "policies[0] is 5; it must be a list of policies"],
  ])("%j are refused with what would be right", (value, words) => {
    expect(() => read(value)).toThrow(words);
  });
});
