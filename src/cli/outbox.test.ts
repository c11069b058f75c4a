import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { outboxCommands } from "./outbox.ts";

/** Runs `sluice outbox ...` against an API that answers `answer`. */
async function run(words: string, answer: unknown, status = 200): Promise<{ printed: string[]; asked: string[] }> {
  const [printed, asked]: [string[], string[]] = [[], []];
  const program = new Command().exitOverride();
  outboxCommands(program, {
    print: (line) => void printed.push(line),
    fetch: async (url, init) => {
      asked.push(`${init?.method} ${String(url)} ${JSON.stringify(init?.headers)}`);
      if (status === 0) throw new Error("refused");
      return Response.json(answer, { status });
    },
  });
  await program.parseAsync(words.split(" "), { from: "user" });
  return { printed, asked };
}

const letter = {
  ...{ id: 7, trigger: "USER_END", handler: "http://example.com/hook", orderKey: "session:ab", uuid: "u", createdAt: 0 },
  ...{ attempts: 3, nextAt: 60_000, state: "waiting", error: "it answered with status 500" },
};

describe("sluice outbox", () => {
  it("lists", async () => {
    const { printed, asked } = await run("outbox list --state waiting", {
      letters: [letter, { ...letter, id: 8, state: "dead", error: "" }],
    });
    expect(asked).toEqual(["GET http://127.0.0.1:4242/api/v1/outbox?limit=100&state=waiting {}"]);
    expect(printed).toEqual([
      "7  1970-01-01T00:00:00.000Z  USER_END  session:ab  -> http://example.com/hook  (3 attempts, next at 1970-01-01T00:01:00.000Z; it answered with status 500)",
      "8  1970-01-01T00:00:00.000Z  USER_END  session:ab  -> http://example.com/hook  (3 attempts, dead)",
    ]);
    expect((await run("outbox list", { letters: [] })).printed).toEqual(["Everything has arrived."]);
  });

  it("sends again and throws away, with an account if one is given", async () => {
    expect(await run("outbox retry 7 --api http://ann:p%40ss@media:4243", { retried: 1 })).toEqual({
      asked: [`POST http://media:4243/api/v1/outbox/7/retry {"Authorization":"Basic ${btoa("ann:p@ss")}"}`],
      printed: ["1 on the way again"],
    });
    expect((await run("outbox retry dead", { retried: 3 })).asked).toEqual(["POST http://127.0.0.1:4242/api/v1/outbox/retry {}"]);
    expect(await run("outbox drop 7", { dropped: 1 })).toEqual({
      asked: ["DELETE http://127.0.0.1:4242/api/v1/outbox/7 {}"],
      printed: ["7 is thrown away"],
    });
  });

  it("says why it could not", async () => {
    await expect(run("outbox drop 7", { error: "The outbox has no notification 7" }, 404)).rejects.toThrow(
      "The outbox has no notification 7",
    );
    await expect(run("outbox list", {}, 0)).rejects.toThrow("no server answers at http://127.0.0.1:4242; say where its API is with --api");
  });
});
