import { describe, expect, it } from "vitest";
import { memoryStore } from "../../test/support/api-server.ts";
import { openConfiguration } from "./configuration.ts";
import { readConfiguration } from "./load.ts";

const read = (config: unknown) => readConfiguration(config, "sluice.config.ts").settings.listing;

describe("listing", () => {
  it("is read from both shapes, metadata as plain JSON", () => {
    const listing = { "live+a": { hidden: true }, live: { metadata: { title: "x", at: new Date(0), run: () => 1, __proto__x: [null] } } };
    const expected = { "live+a": { hidden: true }, live: { metadata: { title: "x", at: "1970-01-01T00:00:00.000Z", __proto__x: [null] } } };
    expect(read({ listing })).toEqual(expected);
    expect(read({ config: {}, listing })).toEqual(expected);
    expect(read({})).toEqual({});
  });

  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  it.each([
    ["list", 'listing is "list"; it must be an object with names of streams as keys'],
    [{ "Live One": {} }, 'listing["Live One"]: the key must be the full name of a stream: "live+One"'],
    [{ live: "Title" }, 'listing.live is "Title"; it must be an object with `hidden`, `metadata` or both'],
    [{ live: { hidden: "yes" } }, 'listing.live.hidden is "yes"; it must be true or false'],
    [{ live: { title: "x" } }, "listing.live.title is no known setting"],
    [{ live: { metadata: ["x"] } }, 'listing.live.metadata is ["x"]; it must be an object of JSON with at most 4096 bytes'],
    [{ live: { metadata: { text: "x".repeat(4096) } } }, "listing.live.metadata is"],
    [{ live: { metadata: { circle } } }, "listing.live.metadata is something that is no plain data"],
  ] as [unknown, string][])("refuses what is wrong, naming it: %#", (listing, words) => {
    expect(() => read({ listing })).toThrow(`sluice.config.ts: ${words}`);
  });

  it("is kept entry by entry, and survives", async () => {
    const store = memoryStore();
    const open = async (file: object) => {
      const loaded = readConfiguration({ listing: file }, "sluice.config.ts");
      return await openConfiguration({ ...loaded, file: undefined, overrides: {} }, store, { write: () => {} });
    };
    const one = await open({ a: { hidden: true }, b: { hidden: true } });
    await one.change(({ listing }) => ({ listing: { ...listing, "live+x": { metadata: { title: "x" } }, b: { hidden: false } } }));
    const again = await open({ a: { metadata: { n: 1 } }, b: {} });
    expect(again.settings.listing).toEqual({ a: { metadata: { n: 1 } }, b: { hidden: false }, "live+x": { metadata: { title: "x" } } });
    await expect(again.change(() => ({ listing: { a: { hidden: 1 as never } } }))).rejects.toThrow("listing.a.hidden is 1");
  });
});
