import { z } from "zod";
import { SluiceError } from "../../../base/errors.ts";

const limitWords = "1 to 1000";

/** The query's members of every list, to be spread into its schema. */
export const pageQuery = {
  limit: z.coerce
    .number(limitWords)
    .int(limitWords)
    .min(1, limitWords)
    .max(1000, limitWords)
    .default(100)
    .meta({ description: "At most so many items." }),
  cursor: z.string("the `next` of the page before").max(2000, "the `next` of the page before").optional().meta({
    description: "The `next` of the page before; left out: the first page.",
  }),
};

/** The answer of a list: a page, and where the next one begins if there is one. */
export function pageSchema<S extends z.ZodType>(item: S) {
  return z.object({
    items: z.array(item),
    next: z.string().optional().meta({ description: "`cursor` of the next page; left out on the last one." }),
  });
}

export type PageQuery = { readonly limit: number; readonly cursor?: string | undefined };
export type Page<T> = { readonly items: T[]; readonly next?: string };

/** What a list is ordered by; unlike for any two items. */
export type SortKey = readonly (string | number)[];

/**
 * One page of a list in the order of its keys. A page begins after the last key of the page before, so what comes and goes between
 * two pages makes nothing appear twice or be left out. Throws "input.invalid" for a cursor that is none.
 */
export function pageOf<T>(items: Iterable<T>, { limit, cursor }: PageQuery, keyOf: (item: T) => SortKey): Page<T> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const rest = Array.from(items, (item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => after === undefined || compare(key, after) > 0)
    .sort((one, other) => compare(one.key, other.key));
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  return { items: page.map(({ item }) => item), ...(last && rest.length > limit && { next: cursorAfter(last.key) }) };
}

/** The cursor of the page after the item with this key. */
export function cursorAfter(key: SortKey): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

/** The key in a cursor; throws "input.invalid". */
export function readCursor(cursor: string): SortKey {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(key) && key.length > 0 && key.every((part) => typeof part === "string" || typeof part === "number")) return key;
  } catch {
    // Said below.
  }
  throw new SluiceError("input.invalid", "cursor must be the `next` of the page before, as it was given");
}

function compare(one: SortKey, other: SortKey): number {
  for (const [index, part] of one.entries()) {
    const against = other[index];
    if (against === undefined || typeof part !== typeof against) return 1;
    if (part !== against) return part < against ? -1 : 1;
  }
  return 0;
}
