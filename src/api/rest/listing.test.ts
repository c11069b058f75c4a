import { describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../../test/support/api-server.ts";

const ask = (api: TestApi, method: string, path: string, body?: unknown) =>
  api.ask({
    method,
    path: `/api/v1/listing${path}`,
    headers: { "Content-Type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

describe("/listing", () => {
  it("sets, shows and takes away what the public list says of streams that play or will play", async () => {
    await using api = await startApi({ config: { listing: { live: { hidden: true } } } });
    const metadata = { title: "The final", poster: "https://site.example/final.jpg" };
    expect(await ask(api, "PUT", "/live+final", { metadata })).toMatchObject({ status: 201, json: { name: "live+final", metadata } });
    expect(await ask(api, "PUT", "/live+final", { hidden: true })).toMatchObject({
      status: 200,
      json: { name: "live+final", hidden: true },
    });
    expect((await ask(api, "GET", "/live+final")).json).toEqual({ name: "live+final", hidden: true });
    expect((await ask(api, "GET", "")).json["items"]).toEqual([
      { name: "live", hidden: true },
      { name: "live+final", hidden: true },
    ]);
    expect((await ask(api, "DELETE", "/live")).status).toBe(204);
    expect([(await ask(api, "DELETE", "/live")).status, (await ask(api, "GET", "/live")).status]).toEqual([404, 404]);
    expect(api.configuration.settings.listing).toEqual({ "live+final": { hidden: true } });
  });

  it.each([
    ["/Live", { hidden: true }, "the full name of a stream"],
    ["/live", { hidden: 1 }, "hidden must be true or false"],
    ["/live", { metadata: "x" }, "metadata must be an object of JSON with at most 4096 bytes"],
    ["/live", { metadata: { text: "x".repeat(5000) } }, "metadata must be an object of JSON with at most 4096 bytes"],
    ["/live", { title: "x" }, "title"],
  ])("refuses PUT %s, and changes nothing: %#", async (path, body, words) => {
    await using api = await startApi();
    expect(await ask(api, "PUT", path, body)).toMatchObject({ status: 400, json: { detail: expect.stringContaining(words) } });
    expect(api.configuration.settings.listing).toEqual({});
  });
});
