import { describe, expect, it } from "vitest";
import { z } from "zod";
import { checked } from "./checked.ts";
import { problemOf } from "./problem.ts";

function faultOf(schema: z.ZodType, value: unknown): unknown {
  try {
    checked(z.object({ a: schema }), { a: value }, "body");
  } catch (error) {
    return error;
  }
  return expect.fail("it was taken");
}

describe("a schema without own words", () => {
  it.each([
    [z.string(), 5, "a text"],
    [z.number(), "5", "a number"],
    [z.int(), 1.5, "a whole number"],
    [z.boolean(), 1, "true or false"],
    [z.array(z.string()), {}, "a list"],
    [z.record(z.string(), z.unknown()), [], "an object"],
    [z.object({}), [], "an object"],
    [z.enum(["x", "y"]), "z", 'one of "x", "y"'],
    [z.literal(1), 2, "1"],
    [z.string().min(3), "x", "a text of at least 3 characters"],
    [z.array(z.string()).max(1), ["x", "y"], "a list with at most 1 item"],
    [z.number().gt(3), 3, "more than 3"],
    [z.number().multipleOf(3), 4, "a multiple of 3"],
    [z.union([z.array(z.string()), z.string()]), 5, "a list, or a text"],
    [z.union([z.boolean(), z.literal(0), z.literal(1)]), "x", "true or false, or 0, or 1"],
    [z.email(), "secret", "something else; GET /api/v1/openapi.json says what"],
  ])("%# says what may stand there", (schema, value, words) => {
    const problem = problemOf(faultOf(schema, value));
    expect(problem).toMatchObject({ status: 400, title: "The request is not valid.", detail: `a must be ${words}` });
    expect(problem.errors).toEqual([{ in: "body", path: "a", message: `must be ${words}` }]);
  });

  it("leaves a schema its own words", () => {
    expect(problemOf(faultOf(z.string("the name of a stream"), 5)).detail).toBe("a must be the name of a stream");
    expect(problemOf(faultOf(z.union([z.string(), z.null()], "a name"), 5)).detail).toBe("a must be a name");
  });
});
