import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite } from "../base/decision.ts";
import { isPositive } from "../triggers/answer.ts";
import { type AccessTrigger, type TriggerName, triggers } from "../triggers/table.ts";
import { createReceiver, type Receiver, type ReceiverHandlers, type ReceiverOptions } from "./receiver.ts";

const id = "9febc7adc017cb880d2e31926ca8c1e1780da67107ed417eb3854386001df9dd";
const userNew = `live\n127.0.0.1\nt1\nFLV\nhttp://127.0.0.1:8080/live.flv?tkn=t1&user=ann\n${id}\nfalse`;
const pushRewrite = "rtmp://127.0.0.1:1935/live/live?k=v\n127.0.0.1\nlive";
const secret = "a secret of the receiver";
const open: AsyncDisposable[] = [];
const told: string[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  told.length = 0;
});

function receiver(handlers: ReceiverHandlers, options: ReceiverOptions = {}): Receiver {
  const made = createReceiver(handlers, { log: (line) => told.push(line), ...options });
  open.push(made);
  return made;
}

function call(
  name: string | undefined,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  url = "http://receiver.example/t",
): Request {
  return new Request(url, {
    method: "POST",
    body,
    headers: { ...(name !== undefined && { "X-Trigger": name }), ...headers },
  });
}

async function said(receive: Receiver, request: Request) {
  const response = await receive(request);
  const { headers } = response;
  return {
    status: response.status,
    body: await response.text(),
    action: headers.get("x-mist-trigger-action"),
    reason: headers.get("x-mist-trigger-reason"),
    error: headers.get("x-sluice-error"),
  };
}

/** How a MistServer goes on: its reading of an answer of status 2xx; everything else it takes for a failure, and that for a yes. */
function readsAsYes(name: TriggerName, { status, body }: { readonly status: number; readonly body: string }): boolean {
  if (status < 200 || status > 299) return true;
  return triggers[name].answer === "verdict" ? isPositive(body) : body !== "";
}

const access = (Object.keys(triggers) as TriggerName[]).filter((name): name is AccessTrigger => "access" in triggers[name]);
const everyAccess = (handle: () => unknown): ReceiverHandlers =>
  Object.fromEntries(access.map((name) => [name, handle])) as ReceiverHandlers;

describe("answers", () => {
  it("are MistServer's words: true and false, a value without a line break, the value that was there, nothing", async () => {
    const receive = receiver({
      USER_NEW: ({ query }) => (query["user"] === "ann" ? allow({ ttl: "5m", tags: ["vip"] }) : deny("please log in first")),
      PUSH_REWRITE: ({ stream }) => (stream === "live" ? rewrite("  studio\n") : stream === "kept" ? keep() : deny("no such key")),
      RTMP_PUSH_REWRITE: () => keep(),
      STREAM_SOURCE: ({ stream }) => (stream === "gone" ? deny("it is over") : keep()),
      STREAM_BUFFER: () => {},
    });
    expect(await said(receive, call("USER_NEW", userNew))).toEqual({ status: 200, body: "true", action: null, reason: null, error: null });
    expect(await said(receive, call("USER_NEW", userNew.replace("ann", "bob")))).toMatchObject({
      status: 200,
      body: "false",
      action: "deny",
      reason: "please log in first",
    });
    expect((await said(receive, call("PUSH_REWRITE", pushRewrite))).body).toBe("studio");
    expect((await said(receive, call("PUSH_REWRITE", pushRewrite.replace(/live$/, "kept")))).body).toBe("kept");
    expect(await said(receive, call("PUSH_REWRITE", pushRewrite.replace(/live$/, "x")))).toMatchObject({
      status: 200,
      body: "",
      action: "deny",
    });
    // The fork has no typed no for this one, and would take it for a failure.
    expect(await said(receive, call("RTMP_PUSH_REWRITE", "rtmp://h/live/a?b=c\n127.0.0.1"))).toMatchObject({
      body: "rtmp://h/live/a?b=c",
      action: null,
    });
    expect((await said(receive, call("STREAM_SOURCE", "live"))).body).toBe("");
    expect(await said(receive, call("STREAM_SOURCE", "gone"))).toMatchObject({ body: "offline:it is over", action: "offline" });
    const notified = await receive(call("STREAM_BUFFER", "live\nEMPTY"));
    expect([notified.status, notified.headers.get("content-length"), await notified.text()]).toEqual([200, "0", ""]);
  });

  it("know a viewer who is asked about again by the line that is missing, and the query from the URL", async () => {
    const seen: unknown[] = [];
    const receive = receiver({
      USER_NEW: ({ recheck, asked, query, headers, cookies, tokenIsJwt }) => {
        seen.push([recheck, asked, query, headers, cookies, tokenIsJwt]);
        return true;
      },
    });
    await receive(call("USER_NEW", userNew));
    await receive(call("USER_NEW", userNew.replace(/\nfalse$/, "")));
    expect(seen).toEqual([
      [false, "live", { tkn: "t1", user: "ann" }, {}, {}, "false"],
      [true, "live", { tkn: "t1", user: "ann" }, {}, {}, undefined],
    ]);
  });

  it("carry a reason in any language as a header may hold it", async () => {
    const receive = receiver({ USER_NEW: () => deny("nicht erlaubt: größer\r\nX-Evil: 1 \ud800") });
    const { reason, body } = await said(receive, call("USER_NEW", userNew));
    expect([body, reason]).toEqual(["false", "nicht erlaubt: gr%C3%B6%C3%9Fer%0D%0AX-Evil: 1 %EF%BF%BD"]);
  });

  it("of several handlers are joined, and a stream filter holds", async () => {
    const receive = receiver({ USER_NEW: [() => true, { handle: () => deny("not this one"), streams: ["live"] }] });
    expect((await said(receive, call("USER_NEW", userNew))).body).toBe("false");
    expect((await said(receive, call("USER_NEW", userNew.replace(/^live/, "other")))).body).toBe("true");
  });

  it("with a limit that nobody would hold to are a no", async () => {
    const receive = receiver({ USER_NEW: () => allow({ limits: { sessions: 1 } }) });
    expect(await said(receive, call("USER_NEW", userNew))).toMatchObject({
      body: "false",
      reason: expect.stringContaining("does not count sessions"),
    });
  });
});

describe("a handler that fails", () => {
  const bad: Readonly<Record<string, () => unknown>> = {
    throws: () => {
      throw new Error("no database");
    },
    rejects: () => Promise.reject(new Error("no database")),
    "is late": () => new Promise(() => {}),
    "answers nothing": () => undefined,
    "answers a number": () => 1,
    "answers an unknown kind": () => ({ kind: "yes" }),
    "answers a value that breaks the line": () => rewrite("a\nb"),
  };
  it.each(Object.keys(bad))("lets nobody in: %s", async (sort) => {
    const receive = receiver(everyAccess(bad[sort] ?? (() => {})), { timeoutMs: 20 });
    for (const name of access) {
      const lines = Object.keys(triggers[name].fields).length;
      const body = name === "USER_NEW" ? userNew : Array.from({ length: lines }, (_, at) => `x${at}`).join("\n");
      const answer = await said(receive, call(name, body));
      expect([name, answer.status, readsAsYes(name, answer)]).toEqual([name, 200, false]);
    }
    expect(told.length).toBeGreaterThan(0);
  });

  it("is what onFail says, for each trigger", async () => {
    const fails = () => {
      throw new Error("no database");
    };
    const receive = receiver({
      USER_NEW: { handle: fails, onFail: allow() },
      PUSH_REWRITE: { handle: fails, onFail: keep() },
      STREAM_PUSH: { handle: fails, onFail: { timeout: allow(), default: deny("later") } },
      STREAM_READY: fails,
      DEFAULT_STREAM: fails,
    });
    expect((await said(receive, call("USER_NEW", userNew))).body).toBe("true");
    expect((await said(receive, call("PUSH_REWRITE", pushRewrite))).body).toBe("live");
    expect(await said(receive, call("STREAM_PUSH", "a\n1.2.3.4\nRTMP\nrtmp://h/live/a"))).toMatchObject({ body: "false", reason: "later" });
    // The server's own life goes on.
    expect((await said(receive, call("STREAM_READY", "live\nBuffer"))).body).toBe("true");
    expect((await said(receive, call("DEFAULT_STREAM", "slate\nlive\n1.2.3.4\nHLS\nhttp://h/"))).body).toBe("slate");
  });
});

describe("a call that is malformed", () => {
  const yes: ReceiverHandlers = {
    ...everyAccess(() => true),
    PUSH_REWRITE: () => "in",
    PLAY_REWRITE: () => "in",
    RTMP_PUSH_REWRITE: () => "in",
    USER_END: () => {},
  };
  const cases: readonly (readonly [string, string | undefined, string | Uint8Array, RegExp])[] = [
    ["too few lines", "USER_NEW", "live\n127.0.0.1", /6 to 7 lines, this one has 2/],
    ["too many lines", "USER_NEW", `${userNew}\nmore`, /line break where none may be \(8 lines instead of 7\)/],
    [
      "a token with a line break in a question that is repeated",
      "USER_NEW",
      userNew.replace(/\nfalse$/, "").replace("t1\n", "t1\nx\n"),
      /line 7/,
    ],
    ["a name with a line break behind it", "STREAM_PUSH", "wild+nl\n\n::1\nTSSRT\n", /line break/],
    ["a control character", "CONN_PLAY", "live\u001b[2K\n::1\nHLS\nhttp://h/", /control characters/],
    ["bytes that are no text", "USER_NEW", Uint8Array.of(0xff, 0xfe, 0x00, 0x0a), /no text/],
    ["nothing", "PUSH_REWRITE", "", /3 lines, this one has 1/],
    ["no header", undefined, userNew, /X-Trigger/],
    ["an unknown trigger", "USER_NEWER", userNew, /not known here/],
    ["a name of JavaScript's", "constructor", userNew, /not known here/],
    ["too long", "USER_NEW", "x".repeat(2000), /longer than 1500 bytes/],
  ];
  it.each(cases)("is a no, and says what is wrong: %s", async (_what, name, body, words) => {
    const receive = receiver(yes, { maxBytes: 1500 });
    const answer = await said(receive, call(name, body));
    expect(answer).toMatchObject({ status: 200, error: expect.stringMatching(words) });
    expect(["", "false"]).toContain(answer.body);
    expect(told.join("\n")).toMatch(words);
  });

  it("is too long whatever its header says", async () => {
    const receive = receiver(yes, { maxBytes: 100 });
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new TextEncoder().encode("x\n")) });
    const init = { method: "POST", body: endless, duplex: "half", headers: { "X-Trigger": "USER_NEW" } } as RequestInit;
    expect(await said(receive, new Request("http://h/", init))).toMatchObject({
      body: "false",
      error: expect.stringContaining("100 bytes"),
    });
  });

  it("of a trigger that nobody handles here is a no where somebody would be let in, and nothing ends the server", async () => {
    const receive = receiver({});
    expect((await said(receive, call("USER_NEW", userNew))).body).toBe("false");
    expect((await said(receive, call("PUSH_REWRITE", pushRewrite))).body).toBe("");
    expect((await said(receive, call("SYSTEM_STOP", "signal"))).body).toBe("true");
    expect((await said(receive, call("USER_END", "too short"))).body).toBe("");
  });

  it("that is no POST is told to people", async () => {
    const response = await receiver(yes)(new Request("http://h/"));
    expect([response.status, await response.text()]).toEqual([405, expect.stringContaining("triggers of a MistServer")]);
  });
});

describe("random bytes", () => {
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 9 }).map((lines) => new TextEncoder().encode(lines.join("\n"))),
    fc
      .array(fc.constantFrom("", "true", "1", "live", "::1", "\n", "\r", "yes", id), { maxLength: 9 })
      .map((lines) => new TextEncoder().encode(lines.join("\n"))),
  );

  it("never are a yes when no handler says yes", async () => {
    const receive = receiver(everyAccess(() => "\u0000" as never));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...access), bodies, async (name, body) => {
        expect(readsAsYes(name, await said(receive, call(name, body)))).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it("reach a handler only as what they are: written down again, the fields are the same bytes", async () => {
    const seen: Readonly<Record<string, unknown>>[] = [];
    const handlers = Object.fromEntries(
      access.map((name) => [
        name,
        (payload: Readonly<Record<string, unknown>>) => {
          seen.push(payload);
          return triggers[name].answer === "verdict" ? true : "in";
        },
      ]),
    );
    const receive = receiver(handlers as ReceiverHandlers);
    let asked = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...access), bodies, async (name, body) => {
        seen.length = 0;
        const yes = readsAsYes(name, await said(receive, call(name, body)));
        expect(yes).toBe(seen.length === 1);
        asked += seen.length;
        for (const payload of seen) {
          const lines = Object.keys(triggers[name].fields).map((field) => payload[field]);
          expect(lines.filter((line) => line !== undefined).join("\n")).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(body));
        }
      }),
      { numRuns: 1000 },
    );
    expect(asked).toBeGreaterThan(0);
  });
});

describe("the secret", () => {
  const handlers: ReceiverHandlers = { USER_NEW: () => true, PUSH_REWRITE: () => "in", USER_END: () => {} };
  const shown: readonly (readonly [string, Record<string, string>])[] = [
    [`http://h/t?key=${encodeURIComponent(secret)}`, {}],
    [`http://h/hooks/${encodeURIComponent(secret)}`, {}],
    ["http://h/t", { "X-Sluice-Key": secret }],
    ["http://h/t?key=other", { "X-Sluice-Key": secret }],
  ];
  it.each(shown)("is taken from the URL and from headers: %s", async (url, headers) => {
    expect((await said(receiver(handlers, { secret }), call("USER_NEW", userNew, headers, url))).body).toBe("true");
  });

  it.each([
    ["http://h/t", {}],
    ["http://h/t?key=", {}],
    [`http://h/t?key=${secret.slice(0, -1)}`, {}],
    [`http://h/t?other=${secret}`, {}],
    [`http://h/${secret.slice(1)}/t`, {}],
    ["http://h/%zz", { Authorization: "Bearer nonsense" }],
    ["http://h/t", { "X-Sluice-Key": `${secret}x` }],
  ])("that is missing or wrong is a no, with status 200, and the handler is not asked: %s", async (url, headers) => {
    let asked = 0;
    const receive = receiver({ ...handlers, USER_NEW: () => ++asked > 0 }, { secret });
    const answer = await said(receive, call("USER_NEW", userNew, headers as Record<string, string>, url));
    expect([answer.status, answer.body, asked]).toEqual([200, "false", 0]);
    expect((await said(receive, call("PUSH_REWRITE", pushRewrite, headers as Record<string, string>, url))).body).toBe("");
    expect(told.join()).not.toContain(secret.slice(0, 8));
  });

  it("may be one of two while it is exchanged", async () => {
    const receive = receiver(handlers, { secret: [secret, "the next one, which comes"] });
    for (const key of [secret, "the next one, which comes"])
      expect((await said(receive, call("USER_NEW", userNew, { "X-Sluice-Key": key }))).body).toBe("true");
  });

  it("has to be there when it is meant, and long", () => {
    const wrong = [undefined, "", "short", [], [secret, ""]] as const;
    for (const one of wrong) expect(() => createReceiver(handlers, { secret: one as never })).toThrow("16 characters or more");
  });
});

describe("attempts of one question", () => {
  it("are one question, however late its answer is; another body under the same number is another one", async () => {
    let asked = 0;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const receive = receiver({
      USER_NEW: () => {
        asked++;
        return promise;
      },
    });
    const uuid = { "X-Trigger-UUID": "2cd44dae-da04-4dcd-8008-8cf00d508bf0" };
    const first = said(receive, call("USER_NEW", userNew, { ...uuid, "X-Attempt": "1" }));
    const second = said(receive, call("USER_NEW", userNew, { ...uuid, "X-Attempt": "2" }));
    resolve(true);
    expect([(await first).body, (await second).body, asked]).toEqual(["true", "true", 1]);
    expect((await said(receive, call("USER_NEW", userNew, { ...uuid, "X-Attempt": "3" }))).body).toBe("true");
    expect(asked).toBe(1);
    await said(receive, call("USER_NEW", userNew.replace("t1", "t2"), uuid));
    await said(receive, call("USER_NEW", userNew));
    await said(receive, call("USER_NEW", userNew));
    expect(asked).toBe(4);
  });
});

describe("createReceiver", () => {
  it("names what cannot be used", () => {
    expect(() => createReceiver({ USER_GONE: () => true } as never)).toThrow("there is no trigger USER_GONE");
    expect(() => createReceiver({ USER_NEW: "http://x" } as never)).toThrow("USER_NEW must be a function");
    expect(() => createReceiver({ USER_NEW: { handle: () => true, onFail: "maybe" } as never })).toThrow("onFail");
  });

  it("gives handlers a server that says what is missing, and is a failure", async () => {
    const receive = receiver({ USER_NEW: (_payload, { server }) => server.viewers().length === 0 });
    expect((await said(receive, call("USER_NEW", userNew))).body).toBe("false");
    expect(told.join()).toContain("does not know its MistServer");
  });
});
