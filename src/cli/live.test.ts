import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { join, startApi, type TestApi } from "../../test/support/api-server.ts";
import { allow } from "../base/decision.ts";
import { commands } from "./commands.ts";
import { bitRate, bytes, plain, show, span, table, type Terminal } from "./terminal.ts";

/** A terminal that keeps what is written; `ends` aborts what follows something. */
function fakeTerminal(interactive = false): Terminal & { readonly written: () => string; readonly ends: AbortController } {
  let written = "";
  const ends = new AbortController();
  return {
    write: (text) => void (written += text),
    interactive,
    style: (look, text) => (interactive ? `<${look}>${text}</>` : text),
    interrupted: () => ends.signal,
    written: () => written,
    ends,
  };
}

async function run(
  api: TestApi | undefined,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  exit: (code: number) => void = () => undefined,
): Promise<string> {
  const terminal = fakeTerminal();
  const home: Readonly<Record<string, string>> = api ? { SLUICE_API: `http://127.0.0.1:${api.port}` } : {};
  const program = new Command().exitOverride();
  const parts = { environment: { ...home, ...environment }, terminal, complain: () => undefined, exit };
  for (const command of commands(parts)) program.addCommand(command);
  await program.parseAsync([...words], { from: "user" });
  return terminal.written();
}

describe("texts of clients", () => {
  it("cannot steer a terminal, turn its direction around or break a line", () => {
    expect(plain("\u001b[2J\u009b1mann\r\n\u202Exe\u2066.\u0007")).toBe("?[2J?1mann???xe?.?");
    expect(plain("Grüße 日本 👍")).toBe("Grüße 日本 👍");
  });

  it("do not reach the user as they are, wherever they stand", async () => {
    await using api = await startApi();
    const evil = "\u001b]0;owned\u0007";
    using _one = await join(api.sessions, { stream: `a+${evil}`, protocol: evil, address: evil }, allow({ user: evil, tags: [evil] }));
    const record = api.decisions.add({
      ...{ kind: "play", result: "deny", reason: evil, rule: evil, sessionId: evil, address: evil, protocol: evil, asked: evil },
      ...{ stream: evil, user: evil, token: "", steps: [{ step: evil, ms: 1, text: evil, call: evil }] },
    });
    for (const words of [["sessions"], ["streams"], ["why", record.id]]) {
      const text = await run(api, words);
      expect(text).not.toContain("\u001b");
      expect(text).not.toContain("\u0007");
    }
    expect(await run(api, ["why", record.id])).toContain("?]0;owned?");
  });
});

describe("why", () => {
  it("says that nothing is known, as an exit code, too", async () => {
    await using api = await startApi();
    const codes: number[] = [];
    const exit = (code: number): void => void codes.push(code);
    expect(await run(api, ["why", "nonsense"], {}, exit)).toMatch(/^No decision is known/);
    expect(JSON.parse(await run(api, ["why", "nonsense", "--json"], {}, exit))).toEqual({ items: [] });
    expect(codes).toEqual([1, 1]);
  });
});

describe("a table", () => {
  it("has columns under their heads, numbers to the right, and no trailing blanks, also with wide and styled texts", () => {
    const rows = [
      ["日本", "7", ""],
      ["live", "1234", "x"],
    ];
    expect(table(fakeTerminal(), ["NAME", "VIEWERS", "TAGS"], rows, ["VIEWERS"]).split("\n")).toEqual([
      "NAME  VIEWERS  TAGS",
      "日本        7",
      "live     1234  x",
    ]);
  });

  it("shows amounts as people say them", () => {
    expect([0, 999, 1000, 1_500_000_000, 2e18].map(bytes)).toEqual(["0 B", "999 B", "1.0 kB", "1.5 GB", "2000.0 PB"]);
    expect([0, 2_400_000].map(bitRate)).toEqual(["0 bit/s", "2.4 Mbit/s"]);
    expect([0, 59.9, 60, 3605, 93_784, -1].map(span)).toEqual(["0s", "59s", "1m", "1h", "1d 2h", "0s"]);
  });
});

describe("a live view", () => {
  it("is drawn over on a terminal, on a screen of its own that it leaves", async () => {
    const terminal = fakeTerminal(true);
    let drawn = 0;
    await show(terminal, "0.1", async () => {
      if (++drawn === 2) terminal.ends.abort();
      return `line ${drawn}\nsecond`;
    });
    expect(terminal.written()).toBe("\u001b[?1049h\u001b[?25l\u001b[Hline 1\u001b[K\nsecond\u001b[K\n\u001b[J\u001b[?25h\u001b[?1049l");
  });

  it("leaves the screen when it fails, and enters none when there is nothing to show", async () => {
    const failing = (at: number) => {
      let drawn = 0;
      return async () => (++drawn === at ? Promise.reject(new Error("gone")) : "text");
    };
    const [first, second] = [fakeTerminal(true), fakeTerminal(true)];
    await expect(show(first, "0.1", failing(1))).rejects.toThrow("gone");
    await expect(show(second, "0.1", failing(2))).rejects.toThrow("gone");
    expect(first.written()).toBe("");
    expect(second.written()).toMatch(/1049l$/);
  });

  it.each(["0", "-1", "abc", "99999"])("refuses --watch %s", async (watch) => {
    await expect(show(fakeTerminal(), watch, async () => "")).rejects.toThrow("write seconds from 0.1 to 3600");
  });
});

describe("commands against the API", () => {
  it("read lists over several pages", async () => {
    await using api = await startApi();
    const open = [];
    for (let at = 0; at < 1205; at++) open.push(await join(api.sessions, { stream: "live", token: `t${at}` }));
    expect((await run(api, ["sessions", "--limit", "1100"])).trim().split("\n")).toHaveLength(1102);
    expect(await run(api, ["sessions", "--limit", "1100"])).toMatch(/\.\.\. and more: --limit\n$/);
    const { items, next } = JSON.parse(await run(api, ["sessions", "--limit", "5000", "--json"])) as { items: unknown[]; next?: string };
    expect([items.length, next]).toEqual([1205, undefined]);
    for (const one of open) one[Symbol.dispose]();
  });

  it("kick by the beginning of an id, if it is one session's alone", async () => {
    await using api = await startApi();
    const [one, two] = [await join(api.sessions, { stream: "live", token: "a" }), await join(api.sessions, { stream: "live", token: "b" })];
    let common = 0;
    while (one.sessionId[common] === two.sessionId[common]) common++;
    await expect(run(api, ["kick", ""])).rejects.toThrow("2 sessions have ids that begin with");
    expect(await run(api, ["kick", one.sessionId.slice(0, common + 6), "--reason", "words"])).toBe("1 session ended\n");
    expect([one.signal.aborted, two.signal.aborted]).toEqual([true, false]);
    expect((one.signal.reason as Error).message).toBe("words");
    expect(await run(api, ["kick", two.sessionId])).toBe("1 session ended\n");
    await expect(run(api, ["kick", "00"])).rejects.toThrow("No session has an id that begins with 00");
  });

  it("ask again about what is said, by streams, users and all", async () => {
    await using api = await startApi();
    using _ann = await join(api.sessions, { stream: "live", token: "a" }, allow({ user: "ann" }));
    using _ben = await join(api.sessions, { stream: "cam+1", token: "b" }, allow({ user: "ben" }));
    expect(await run(api, ["invalidate", "live"])).toBe("1 session asked about again\n");
    expect(await run(api, ["invalidate", "cam+"])).toBe("1 session asked about again\n");
    expect(await run(api, ["invalidate", "--user", "ann", "--user", "ben", "--json"])).toBe('{"sessions":2}\n');
    expect(await run(api, ["invalidate", "--all"])).toBe("2 sessions asked about again\n");
  });

  it("find a decision with the words of its steps, and pages of decisions in the API", async () => {
    await using api = await startApi();
    const ids = Array.from(
      { length: 3 },
      (_, at) =>
        api.decisions.add({
          ...{ kind: "recheck", result: "deny", reason: `reason ${at}`, rule: "USER_NEW x", sessionId: "", address: "192.0.2.1" },
          ...{ protocol: "HLS", asked: "", stream: "", user: "", token: "", steps: [] },
        }).id,
    ).toReversed();
    expect(await run(api, ["why", "192.0.2.1", "--limit", "1"])).toMatch(
      new RegExp(`^${ids[0]} {2}may not stay [^]*\\.\\.\\. and 2 older: --limit\n$`),
    );
    const page = await api.ask({ method: "GET", path: "/api/v1/decisions?limit=2&result=deny" });
    expect(page.json).toMatchObject({ items: [{ id: ids[0] }, { id: ids[1] }], next: ids[1] });
    const rest = await api.ask({ method: "GET", path: `/api/v1/decisions?limit=2&cursor=${ids[1]}` });
    expect(rest.json).toEqual({ items: [expect.objectContaining({ id: ids[2] })] });
    expect((await api.ask({ method: "GET", path: `/api/v1/decisions/${ids[2]}` })).json).toMatchObject({ id: ids[2], reason: "reason 0" });
    expect((await api.ask({ method: "GET", path: "/api/v1/decisions/0000000000" })).status).toBe(404);
    expect((await api.ask({ method: "GET", path: "/api/v1/decisions?result=maybe" })).status).toBe(400);
  });

  it("send a bearer token, of the flag or the environment, and say what is missing", async () => {
    await using api = await startApi();
    await expect(run(api, ["streams", "--token", "wrong-token"])).rejects.toThrow(/SLUICE_TOKEN/);
    await expect(run(api, ["streams"], { SLUICE_TOKEN: "wrong-token" })).rejects.toThrow(/SLUICE_TOKEN/);
    await expect(run(undefined, ["status", "--api", "http://127.0.0.1:1"])).rejects.toThrow("http://127.0.0.1:1 cannot be reached");
    await expect(run(undefined, ["status", "--api", "nonsense"])).rejects.toThrow("that is no URL");
  });
});
