import { describe, expect, it } from "vitest";
import { identitySources, readSessionIdentity, spelling } from "./session-identity.ts";

describe("an identity expression", () => {
  it.each([
    ["stream, token, ip/24", ["stream", "token", "ip/24/64"]],
    ["ip", ["ip"]],
    ["ip/32", ["ip"]],
    ["ip/32/56", ["ip/32/56"]],
    ["ip/24/56", ["ip/24/56"]],
    ["stream,claim:sub|token", ["stream", "claim:sub | token"]],
    ["cookie:uid | claim:https://example.com/id | user, protocol", ["cookie:uid | claim:https://example.com/id | user", "protocol"]],
    [
      ["stream", "token"],
      ["stream", "token"],
    ],
    ["", []],
    [[], []],
  ])("%j is read as %j", (text, parts) => {
    expect(readSessionIdentity(text)).toEqual(parts);
    // What it gives is read the same again: changes are kept in that form.
    expect(readSessionIdentity(parts)).toEqual(parts);
    expect(parts.map((part) => identitySources(part).map(spelling).join(" | "))).toEqual(parts);
  });

  it.each([
    ["stream, tokens", '"tokens" is no part'],
    ["stream,,token", '"" is no part'],
    ["stream |", '"" is no part'],
    ["ip/0", '"ip/0" is no part'],
    ["ip/33", '"ip/33"'],
    ["ip/24/129", '"ip/24/129"'],
    ["ip/24/", '"ip/24/"'],
    ["cookie:", '"cookie:"'],
    ["cookie:a b", '"cookie:a b"'],
    ["claim:", '"claim:"'],
    ["Stream", '"Stream"'],
    [`claim:${"x".repeat(201)}`, "is no part"],
    [Array.from({ length: 17 }, () => "ip").join(), "17 parts, 16 at most"],
  ])("%s is refused", (text, words) => {
    expect(() => readSessionIdentity(text)).toThrow(words);
  });
});
