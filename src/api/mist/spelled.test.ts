import { describe, expect, it } from "vitest";
import { join, startApi } from "../../../test/support/api-server.ts";
import { answerBody, answerText } from "../command.ts";
import { Spelled, spellObject, spellRows } from "./spelled.ts";

describe("JSON in pieces", () => {
  it("is the JSON of the same value, empty lists and odd texts included", async () => {
    const rows = [[1, 'a\u2028"\\'], [null, "é"], []];
    for (const items of [rows, rows.slice(0, 1), []]) {
      const data = new Spelled(["[", ...(await spellRows(items, (row) => row)), "]"]);
      const value = { data, fields: ["a"], gone: undefined, 'na"me': { deep: [true] } };
      expect(JSON.parse(spellObject(value).join(""))).toEqual({ data: items, fields: ["a"], 'na"me': { deep: [true] } });
      expect(answerText(value, undefined)).toBe(`${spellObject(value).join("")}\n\n`);
      expect(answerText(value, "f")).not.toContain("\u2028");
    }
    expect(await spellRows([1, 2, 3], (one) => (one === 2 ? undefined : [one]))).toEqual(["[1],[3]"]);
  });

  it("gives others their turn while rows are made", async () => {
    let turns = 0;
    let spelling = true;
    const look = (): void => {
      turns++;
      if (spelling) setImmediate(look);
    };
    setImmediate(look);
    const pieces = await spellRows(Array.from({ length: 6400 }), () => {
      const began = performance.now();
      while (performance.now() - began < 0.01);
      return ["x"];
    });
    spelling = false;
    expect(turns).toBeGreaterThan(5);
    expect(pieces.length).toBeGreaterThan(5);
    expect(JSON.parse(`[${pieces.join("")}]`)).toHaveLength(6400);
  });

  it("is sent as it goes when it is long", async () => {
    const long = {
      LTS: 1,
      rows: new Spelled(["[", ...Array.from({ length: 100 }, (_, at) => `${at > 0 ? "," : ""}"${"x".repeat(10_000)}"`), "]"]),
    };
    const body = answerBody(long, undefined);
    if (typeof body === "string") throw new Error("sent at once");
    expect(await new Response(body).text()).toBe(answerText(long, undefined));
    expect(answerBody({ rows: new Spelled(["[]"]) }, undefined)).toBe('{"rows":[]}\n\n');
  });
});

describe("clients", () => {
  it("answers thousands of sessions over HTTP as it answers few", async () => {
    await using api = await startApi();
    for (let at = 0; at < 3000; at++) await join(api.sessions, { stream: "live", token: `t${at}`, address: `10.0.${at >> 8}.${at & 255}` });
    const answer = await api.ask({
      path: "/api2",
      headers: { "Content-Type": "application/json" },
      body: '{"clients":{"fields":["host","sessid","protocol","stream","up"]}}',
    });
    const { clients } = answer.json as { clients: { data: string[][]; fields: string[]; time: number } };
    expect(Object.keys(clients)).toEqual(["data", "fields", "time"]);
    expect(clients.data).toHaveLength(3000);
    expect(new Set(clients.data.map((row) => row.at(-1))).size).toBe(3000);
    expect([answer.headers["content-length"], answer.text.endsWith("}\n\n")]).toEqual([undefined, true]);
    const few = await api.ask({
      path: "/api2",
      headers: { "Content-Type": "application/json" },
      body: '{"clients":{"hosts":["10.0.0.1"]}}',
    });
    expect(Number(few.headers["content-length"])).toBe(few.text.length);
    expect(few.json["clients"]).toMatchObject({
      data: [["10.0.0.1", "live", "HLS", expect.any(Number), 0, 0, 0, 0, 0, expect.stringMatching(/^[0-9a-f]{64}$/), 0, 0, 0]],
    });
  });
});
