import { createHash } from "node:crypto";

/** The list as one filter sees it at one time: stream names with their JSON, in the order of the list. */
export type Edition = {
  /** Stands for the content: the same list has the same mark, on every server and after a restart. */
  readonly mark: string;
  readonly json: Uint8Array;
  readonly entries: ReadonlyMap<string, string>;
  /** True if the order is another than that of the names: readers are told it. */
  readonly ordered: boolean;
};

export function editionOf(entries: ReadonlyMap<string, string>, ordered = false): Edition {
  const json = Buffer.from(`{"streams":[${[...entries.values()].join(",")}]}\n`);
  const hash = createHash("sha256").update(json);
  // Readers of the events do not have the order of the names as long as nobody needs one: the change itself is news to them.
  if (ordered) hash.update("ordered");
  return { mark: hash.digest("base64url").slice(0, 22), json, entries, ordered };
}

/** The whole list as an event. */
export function listEvent({ mark, json }: Edition): Uint8Array {
  return Buffer.concat([Buffer.from(`event: list\nid: ${mark}\ndata: `), json, Buffer.from("\n")]);
}

/**
 * What makes the later edition of the earlier one, as events; what was added comes last, unless `order` says otherwise. Only the last
 * event has the id: who was cut off before it has the earlier edition and gets the whole list.
 */
export function deltaEvents(before: Edition, after: Edition): Uint8Array {
  const events: (readonly [event: string, data: string])[] = [];
  for (const name of before.entries.keys()) if (!after.entries.has(name)) events.push(["removed", JSON.stringify({ name })]);
  for (const [name, json] of after.entries) {
    const old = before.entries.get(name);
    if (old !== json) events.push([old === undefined ? "added" : "changed", json]);
  }
  const names = [...after.entries.keys()];
  const left = [...before.entries.keys()].filter((name) => after.entries.has(name));
  const heard = [...left, ...names.filter((name) => !before.entries.has(name))];
  const isNews = before.ordered !== after.ordered || (after.ordered && names.some((name, at) => name !== heard[at]));
  if (isNews) events.push(["order", JSON.stringify({ names })]);
  const texts = events.map(([event, data], at) => {
    const id = at === events.length - 1 ? `id: ${after.mark}\n` : "";
    return `event: ${event}\n${id}data: ${data}\n\n`;
  });
  return Buffer.from(texts.join(""));
}
