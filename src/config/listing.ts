import { z } from "zod";
import type { ListingEntry } from "../access/live-arrangement.ts";
import { SluiceError } from "../base/errors.ts";
import { metadataWords, plainMetadata } from "../base/metadata.ts";
import { streamName } from "../base/stream-name.ts";
import { describeProblem, describeUnknown, fieldPath } from "./problem.ts";

/** Streams that something is set for; each may have some KiB. */
export const mostListings = 10_000;

export const listingSchema = z
  .strictObject(
    {
      hidden: z.boolean("true or false").optional().meta({ description: "True: not in the public list." }),
      metadata: z
        .record(z.string(), z.unknown(), metadataWords)
        .superRefine((value, context) => {
          try {
            plainMetadata(value);
          } catch {
            context.addIssue({ code: "custom", message: metadataWords });
          }
        })
        .optional()
        .meta({ description: `What the list shows of it: ${metadataWords}. Everybody may read it.` }),
    },
    "an object with `hidden`, `metadata` or both",
  )
  .meta({ id: "Listing" });

/** Checks what is set for one stream of the public list. Throws "config.invalid". */
export function readListing(name: string, value: unknown, where: string): ListingEntry {
  const path = ["listing", name];
  const clean = streamName(name);
  if (clean !== name || name === "")
    throw new SluiceError(
      "config.invalid",
      `${where}: ${fieldPath(path)}: the key must be the full name of a stream${clean === "" ? "" : `: "${clean}"`}`,
    );
  const result = listingSchema.safeParse(value);
  if (result.success) {
    const { hidden, metadata } = result.data;
    return { ...(hidden !== undefined && { hidden }), ...(metadata !== undefined && { metadata: plainMetadata(metadata) }) };
  }
  const lines = result.error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") return describeUnknown([...path, issue.keys[0] ?? ""], ["hidden", "metadata"]);
    const [key] = issue.path;
    const there = key === undefined ? value : (value as Readonly<Record<PropertyKey, unknown>>)[key];
    return describeProblem([...path, ...issue.path], there, issue.message);
  });
  throw new SluiceError("config.invalid", lines.map((line) => `${where}: ${line}`).join("\n"));
}

/** Reads `listing`: what is set for streams of the public list, by full name. Throws "config.invalid". */
export function readListings(value: unknown, where: string): Readonly<Record<string, ListingEntry>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SluiceError("config.invalid", `${where}: ${describeProblem(["listing"], value, "an object with names of streams as keys")}`);
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, readListing(name, entry, where)]));
}
