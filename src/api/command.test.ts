import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerText, callbackOf, findCommand } from "./command.ts";

const request = (body: string, changes: Partial<Parameters<typeof findCommand>[0]> = {}) =>
  findCommand({ method: "POST", path: "/api", query: new URLSearchParams(), contentType: "", body, ...changes });

describe("finding the command", () => {
  it("never throws and never takes anything but an object", () => {
    const types = fc.constantFrom("", "application/json", "application/x-www-form-urlencoded", "text/plain; charset=utf-8");
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), types, fc.webQueryParameters(), (body, contentType, query) => {
        const found = request(body, { contentType, query: new URLSearchParams(query) });
        if (found.kind !== "command") return;
        expect(found.command).toBeTypeOf("object");
        expect(Array.isArray(found.command)).toBe(false);
      }),
    );
  });

  it("finds every object that was sent as JSON", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (command) => {
        const text = JSON.stringify(command);
        expect(request(text, { contentType: "Application/JSON;charset=UTF-8" })).toEqual({ kind: "command", command: JSON.parse(text) });
      }),
    );
  });

  it("takes a body before the query, and an empty body for none", () => {
    const query = new URLSearchParams({ command: '{"b":1}' });
    expect(request('{"a":1}', { query })).toEqual({ kind: "command", command: { a: 1 } });
    expect(request("", { query, contentType: "application/json" })).toEqual({ kind: "command", command: { b: 1 } });
    expect(request("some text", { path: "/x" })).toEqual({ kind: "none" });
  });
});

it("JSONP holds no line break that a script would not allow", () => {
  const separators = `a${String.fromCodePoint(0x2028)}b${String.fromCodePoint(0x2029)}c`;
  const text = answerText({ text: separators }, callbackOf(new URLSearchParams({ callback: "f" })));
  expect(text).toBe('f({"text":"a\\u2028b\\u2029c"});\n\n');
});
