import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { listingSchema, mostListings, readListing } from "../../config/listing.ts";
import type { ApiParts } from "../parts.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const name = z.string("the full name of a stream").min(1, "the full name of a stream").meta({
  description: "`live+one`; or a base name, `live`, for all of its streams.",
  example: "live+one",
});
const view = z.object({ name, ...listingSchema.shape }).meta({ id: "ListedStream" });
const bodyExample = { metadata: { title: "The final", poster: "https://site.example/final.jpg" } };
const example = { name: "live+final", ...bodyExample };

/** `/listing`: what the public list, `/live.json`, shows of streams, whether they play or not. It counts at once and survives a restart. */
export function listingRoutes({ configuration, log }: Pick<ApiParts, "configuration" | "log">): readonly Route[] {
  const find = (wanted: string): z.output<typeof view> => {
    const { listing } = configuration.settings;
    const entry = Object.hasOwn(listing, wanted) ? listing[wanted] : undefined;
    if (!entry) throw new SluiceError("api.unknown", `Nothing is set for ${JSON.stringify(wanted)}; GET /api/v1/listing has all`);
    return { name: wanted, ...entry };
  };
  return [
    route({
      method: "get",
      path: "/listing",
      operationId: "listListings",
      summary: "What was set for streams of the public list, by name",
      tag: "listing",
      scope: "read",
      query: z.strictObject(pageQuery),
      response: pageSchema(view),
      example: { items: [example] },
      run({ query }) {
        const names = Object.keys(configuration.settings.listing);
        const page = pageOf(names, query, (one) => [one]);
        return { body: { ...page, items: page.items.map((one) => find(one)) } };
      },
    }),
    route({
      method: "get",
      path: "/listing/{name}",
      operationId: "getListing",
      summary: "What was set for one stream",
      tag: "listing",
      scope: "read",
      params: z.strictObject({ name }),
      response: view,
      example,
      run: ({ params }) => ({ body: find(params.name) }),
    }),
    route({
      method: "put",
      path: "/listing/{name}",
      operationId: "putListing",
      summary: "Set what the public list shows of a stream, or hide it",
      tag: "listing",
      scope: "operate",
      params: z.strictObject({ name }),
      body: listingSchema,
      bodyExample,
      response: view,
      example,
      async run({ params, body }) {
        const entry = readListing(params.name, body, "the body");
        let fresh = false;
        await configuration.change(({ listing }) => {
          fresh = !Object.hasOwn(listing, params.name);
          if (fresh && Object.keys(listing).length >= mostListings)
            throw new SluiceError("api.conflict", `Something is set for ${mostListings} streams already; take some away first`);
          return { listing: { ...listing, [params.name]: entry } };
        });
        log.write("CONF", "What the public list shows was set through the API", { stream: params.name });
        return { status: fresh ? 201 : 200, body: find(params.name) };
      },
    }),
    route({
      method: "delete",
      path: "/listing/{name}",
      operationId: "deleteListing",
      summary: "Take away what was set for a stream; if it plays, it is listed as it is",
      tag: "listing",
      scope: "operate",
      params: z.strictObject({ name }),
      async run({ params }) {
        await configuration.change(({ listing }) => {
          find(params.name);
          return { listing: Object.fromEntries(Object.entries(listing).filter(([one]) => one !== params.name)) };
        });
        log.write("CONF", "What the public list shows was taken away through the API", { stream: params.name });
        return {};
      },
    }),
  ];
}
