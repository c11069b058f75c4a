import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { createReceiver, type Receiver, type ReceiverHandlers } from "../../src/receiver/index.ts";
import { isPositive } from "../../src/triggers/answer.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../../src/triggers/table.ts";
import { parsePayload } from "../../src/triggers/wire.ts";

/** The recordings from the other side: what a MistServer sent goes in, what its handler answered has to come out. */
type Recorded = {
  readonly requests: readonly { readonly case: string; readonly headers: Readonly<Record<string, string>>; readonly body: string }[];
};
type Effect = {
  readonly how: string;
  readonly asked?: readonly { readonly body: string; readonly reply: { readonly status: number; readonly body: string } }[];
};

const golden = new URL("../fixtures/golden/", import.meta.url);
const read = <T>(file: string): T => JSON.parse(readFileSync(new URL(file, golden), "utf8")) as T;
const namesIn = (folder: string): TriggerName[] =>
  readdirSync(new URL(folder, golden))
    .map((file) => file.replace(/\.json$/, ""))
    .filter((name): name is TriggerName => Object.hasOwn(triggers, name));

const open: Receiver[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});
const key = "the key of the recordings";

function receiver(name: TriggerName, handle: (payload: never) => unknown, complaints: string[] = []): Receiver {
  const made = createReceiver({ [name]: handle } as ReceiverHandlers, { secret: key, log: (line) => complaints.push(line) });
  open.push(made);
  return made;
}

/** A recorded request, sent to the receiver's own address. Each has its own number: what is tested is not that attempts are joined. */
function sent(headers: Readonly<Record<string, string>>, body: string, attempt = crypto.randomUUID()): Request {
  const { Host: _, "Content-Length": __, ...others } = headers;
  return new Request(`http://receiver.example/t?key=${encodeURIComponent(key)}`, {
    method: "POST",
    headers: { ...others, "X-Trigger-UUID": attempt },
    body,
  });
}

describe.each(namesIn("triggers/"))("recorded calls of %s", (name) => {
  const { requests } = read<Recorded>(`triggers/${name}.json`);
  const { answer }: TriggerDefinition = triggers[name];

  it.each(requests)(
    "$case: the fields arrive as a handler of Sluice gets them, and each answer goes out in MistServer's words",
    async ({ headers, body }) => {
      const seen: unknown[] = [];
      const answers = answer === "verdict" ? [true, false] : answer === "rewrite" ? ["some+value", ""] : [undefined];
      const complaints: string[] = [];
      const texts: string[] = [];
      for (const one of answers) {
        const receive = receiver(
          name,
          (payload) => {
            seen.push(payload);
            return one;
          },
          complaints,
        );
        const response = await receive(sent(headers, body));
        expect([response.status, response.headers.get("x-sluice-error")]).toEqual([200, null]);
        texts.push(await response.text());
      }
      expect(seen).toEqual(answers.map(() => parsePayload(name, body)));
      expect(texts).toEqual(answer === "verdict" ? ["true", "false"] : answer === "rewrite" ? ["some+value", ""] : [""]);
      expect(complaints).toEqual([]);
    },
  );

  it.each(requests.slice(0, 3))(
    "$case: cut, doubled and broken it is never read as a yes, and a person is told why",
    async ({ headers, body }) => {
      const receive = receiver(name, () => (answer === "rewrite" ? "in" : true));
      const broken: (string | Uint8Array)[] = [`${body}\n${body}\nx`, Buffer.concat([Buffer.from(body), Buffer.of(0xff)])];
      if (body.includes("\n")) broken.push(body.slice(0, body.indexOf("\n")));
      for (const text of broken) {
        const request = new Request(`http://h/t?key=${encodeURIComponent(key)}`, {
          method: "POST",
          headers: { "X-Trigger": name },
          body: text,
        });
        const response = await receive(request);
        const said = await response.text();
        expect(response.status).toBe(200);
        if ((triggers[name] as TriggerDefinition).access) expect(answer === "verdict" ? isPositive(said) : said !== "").toBe(false);
        if (answer !== "notify") expect(response.headers.get("x-sluice-error")).toMatch(new RegExp(name));
      }
      const nameless = await receive(new Request(`http://h/t?key=${encodeURIComponent(key)}`, { method: "POST", body }));
      expect([nameless.status, await nameless.text(), nameless.headers.get("x-sluice-error")]).toEqual([
        200,
        "",
        expect.stringContaining("X-Trigger"),
      ]);
      expect(headers["X-Trigger"]).toBe(name);
    },
  );
});

describe.each(namesIn("effects/"))("recorded answers to %s", (name) => {
  const effects = Object.entries(read<Record<string, Effect>>(`effects/${name}.json`));
  const { answer }: TriggerDefinition = triggers[name];

  it.each(effects)("%s: a handler that decides as the recorded one did is read alike", async (_case, { asked = [] }) => {
    for (const { body, reply } of asked) {
      // A push that RTMP_PUSH_REWRITE renamed is then asked about by PUSH_REWRITE, which has another line.
      if (name === "RTMP_PUSH_REWRITE" && body.split("\n").length === 3) continue;
      // A failure is a yes to MistServer; here the handler fails, too, and it is a no.
      const fails = reply.status !== 200;
      const receive = receiver(name, () => {
        if (fails) throw new Error(`status ${reply.status}`);
        return answer === "verdict" ? isPositive(reply.body) : reply.body;
      });
      const response = await receive(sent({ "X-Trigger": name }, body));
      const said = await response.text();
      expect(response.status).toBe(200);
      if (answer === "verdict") expect(isPositive(said)).toBe(!fails && isPositive(reply.body));
      // The line break that a handler prints behind a name does not become part of it.
      else expect(said).toBe(fails ? "" : reply.body.trim());
    }
  });
});
