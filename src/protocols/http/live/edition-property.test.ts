import { describe, expect, it } from "vitest";
import { seeded } from "../../../../test/support/seeded.ts";
import { deltaEvents, type Edition, editionOf, listEvent } from "./edition.ts";

/** What a page holds that does as docs/recipes/live-directory.md says. */
class Page {
  held = new Map<string, unknown>();
  id = "";

  take(bytes: Uint8Array): void {
    for (const block of Buffer.from(bytes).toString().split("\n\n").slice(0, -1)) {
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const said = JSON.parse(field("data") ?? "") as { name: string; names: string[]; streams: { name: string }[] };
      const event = field("event");
      if (event === "list") this.held = new Map(said.streams.map((stream) => [stream.name, stream]));
      else if (event === "removed") this.held.delete(said.name);
      else if (event === "order") this.held = new Map(said.names.map((name) => [name, this.held.get(name)]));
      else this.held.set(said.name, said);
      this.id = field("id") ?? this.id;
    }
  }
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8])("random lists and orders (seed %i)", (seed) => {
  it("are told so that a page has the very list, in its order where there is one", () => {
    const random = seeded(seed);
    let ordered = false;
    const next = (): Edition => {
      if (random.below(8) === 0) ordered = !ordered;
      const names = ["a", "b", "c", "d", "e", "f"].filter(() => random.below(3) > 0);
      const keys = new Map(names.map((name) => [name, ordered ? random.next() : 0]));
      const sorted = names.toSorted((one, other) => (keys.get(one) ?? 0) - (keys.get(other) ?? 0));
      return editionOf(new Map(sorted.map((name) => [name, JSON.stringify({ name, metadata: { title: random.below(3) } })])), ordered);
    };
    let edition = next();
    const page = new Page();
    page.take(listEvent(edition));
    let steps = 0;
    for (let step = 0; step < 500; step++) {
      const after = next();
      if (after.mark === edition.mark) continue;
      page.take(deltaEvents(edition, after));
      edition = after;
      steps++;
      const expected = [...edition.entries].map(([name, json]) => [name, JSON.parse(json) as unknown]);
      const held = edition.ordered ? [...page.held] : [...page.held].toSorted(([one], [other]) => (one < other ? -1 : 1));
      expect([held, page.id]).toEqual([expected, edition.mark]);
    }
    expect(steps).toBeGreaterThan(400);
  });
});
