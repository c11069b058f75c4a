import { describe, expect, it } from "vitest";
import { expandVariables } from "../access/variables.ts";
import { builtInVariables, putVariables } from "./variables.ts";

describe("an operator's own variables", () => {
  it.each([
    ["/media/$folder/a.mp4", "/media/here/a.mp4"],
    ["${folder}x-$folderx-$folder2x", "herex-herex-therex"],
    ["$stream/$st/$folder$", "$stream/1/here$"],
    ["$streaming ${stream} $unknown ${unknown}", "$streaming ${stream} $unknown ${unknown}"],
    ["$again $folder", "$folder here"],
    ["no variable", "no variable"],
  ])("%s is %s", (text, wanted) => {
    expect(putVariables(text, { folder: "here", folder2: "there", st: "1", again: "$folder" }, builtInVariables)).toBe(wanted);
  });

  it("leave alone exactly the names that the server puts in itself", () => {
    for (const name of builtInVariables) {
      expect(putVariables(`\${${name}}`, { [name]: "mine" }, builtInVariables)).toBe(`\${${name}}`);
      expect(expandVariables(`\${${name}}`, { stream: "a+b", now: 0, source: "s" })).not.toContain("$");
    }
  });
});
