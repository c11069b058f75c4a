import { describe, expect, it } from "vitest";
import { z } from "zod";
import { cursorAfter, pageOf, pageQuery } from "./page.ts";

type Item = { readonly time: number; readonly name: string };
const keyOf = ({ time, name }: Item) => [time, name] as const;
const items = (...names: readonly string[]): Item[] => names.map((name, time) => ({ time: Math.floor(time / 2), name }));
const namesOf = ({ items }: { readonly items: readonly Item[] }) => items.map(({ name }) => name).join("");

describe("pages", () => {
  it("go through a list in the order of its keys, whatever order it comes in, and end", () => {
    const all = items("a", "b", "c", "d", "e").toReversed();
    const first = pageOf(all, { limit: 2 }, keyOf);
    const second = pageOf(all, { limit: 2, cursor: first.next }, keyOf);
    const third = pageOf(all, { limit: 2, cursor: second.next }, keyOf);
    expect([first, second, third].map(namesOf)).toEqual(["ab", "cd", "e"]);
    expect(third.next).toBeUndefined();
    expect(pageOf(all, { limit: 5 }, keyOf).next).toBeUndefined();
    expect(pageOf([], { limit: 5 }, keyOf)).toEqual({ items: [] });
  });

  it("show nothing twice and leave nothing out when others come and go between them", () => {
    const all = items("a", "b", "c", "d", "e");
    const first = pageOf(all, { limit: 2 }, keyOf);
    // The last one of the page has gone, and so has one of the next; another came before, and one after.
    const later = [{ time: 0, name: "A" }, ...all.filter(({ name }) => name !== "b" && name !== "d"), { time: 9, name: "z" }];
    expect(namesOf(pageOf(later, { limit: 9, cursor: first.next }, keyOf))).toBe("cez");
  });

  it.each(["", "x", "bm9uZQ", cursorAfter([]), Buffer.from("[null]").toString("base64url"), Buffer.from('{"0":1}').toString("base64url")])(
    "refuse the cursor %j",
    (cursor) => {
      expect(() => pageOf(items("a"), { limit: 1, cursor }, keyOf)).toThrow("cursor must be the `next` of the page before");
    },
  );

  it("take a cursor of another list without harm", () => {
    const cursor = cursorAfter(["live"]);
    expect(namesOf(pageOf(items("a", "b"), { limit: 9, cursor }, keyOf))).toBe("ab");
  });

  it("have 100 items unless it is said, and 1000 at most", () => {
    const query = z.strictObject(pageQuery);
    expect(query.parse({})).toEqual({ limit: 100 });
    expect(query.parse({ limit: "1000" })).toEqual({ limit: 1000 });
    for (const limit of ["0", "1001", "-1", "1.5", "many", "1e9"]) expect(query.safeParse({ limit }).success, limit).toBe(false);
  });
});
