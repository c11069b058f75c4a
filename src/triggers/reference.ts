import { type FieldKind, type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

/** One trigger in MistServer's `capabilities.triggers`. */
export type TriggerCapability = {
  readonly when: string;
  readonly stream_specific: boolean;
  /** One line for each field: its label and, in brackets, its kind. */
  readonly payload: string;
  readonly response: "always" | "when-blocking" | "ignored";
  readonly response_action: string;
  readonly argument?: string;
};

const kinds: Readonly<Record<FieldKind, string>> = { text: "string", integer: "integer", json: "JSON" };

/** The triggers in MistServer's shape, for its API. Triggers that MistServer itself does not list are left out. */
export function triggerCapabilities(): Record<string, TriggerCapability> {
  const listed = rows().filter(([, definition]) => !definition.unlisted);
  return Object.fromEntries(
    listed.map(([name, definition]) => [
      name,
      {
        when: sentence(definition.when),
        stream_specific: definition.filter !== undefined,
        payload: fieldLines(definition).join("\n") + (definition.trailingNewline ? "\n" : ""),
        response: definition.response,
        response_action: definition.action,
        ...(definition.argument !== undefined && { argument: definition.argument }),
      },
    ]),
  );
}

/** One call of a handler as it was recorded: what led to it, the payload, the answer; the headers where they are to be shown. */
export type RecordedExchange = {
  readonly how: string;
  readonly body: string;
  readonly reply: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** The page docs/reference/triggers.md, with the exchanges that were recorded from a MistServer. */
export function triggerReference(exchanges: Readonly<Partial<Record<TriggerName, RecordedExchange>>>): string {
  const all = rows();
  return `${[
    "# Triggers",
    "<!-- Written by `node scripts/reference.ts` from src/triggers/table.ts. Change the table, not this page. -->",
    intro,
    "| trigger | kind | fired | when |",
    ...[
      ["---", "---", "---", "---"],
      ...all.map(([name, row]) => [link(name), row.answer, row.fired ? "yes" : `no: ${row.unfired}`, row.when]),
    ].map((cells) => `| ${cells.join(" | ")} |`),
    ...all.map(([name, definition]) => section(name, definition, exchanges[name])),
  ]
    .join("\n\n")
    .replaceAll("|\n\n|", "|\n|")}\n`;
}

const intro = `A trigger is an event that may ask. There are three kinds:

* **verdict**: yes or no. A function answers \`true\`, \`false\`, \`allow(...)\` or \`deny(reason)\`; a text is yes if it begins with \`1\`, \`yes\`, \`true\` or \`cont\` (white space and case do not count), everything else is no, and so is an empty text.
* **rewrite**: may replace a value. A function answers a text, \`rewrite(value)\`, \`keep()\` or \`deny(reason)\`; a text is the value, trimmed. What an empty text means stands below.
* **notify**: is told; the answer does not count.

A handler is a TypeScript function, an HTTP server (POST, an answer has status 200 to 299) or an executable (payload on standard input, answer on standard output). All handlers of a trigger run, one after the other, each with the original payload: functions first, then the configured ones in their order. The first no is the verdict; of several values the last one counts, and \`keep()\` says nothing. A no that is \`final\` (or typed by a header) ends the asking. Handlers with \`sync: false\` are told and give no answer, neither their own nor their \`default\`.

When a handler fails (it throws, is late, cannot be reached, answers with another status or with nonsense, or is not asked because too many calls are in flight or its breaker is open), its \`onFail\`, \`onfail\` or \`default\` holds. If there is none, a rewrite keeps its value, and a verdict is what stands below as "when a handler fails". The object form of a function, \`{ handle, ... }\`, must say \`onFail\` where somebody is let in. See docs/recipes/failure.md.

The payload of HTTP and executable handlers is text, one line for each field in the order below. Control characters in a text are percent-encoded: no field can add a line. Functions get the fields by name, and so do HTTP handlers with \`format: "json"\`, which answer with a decision object: see docs/recipes/webhooks.md.`;

function section(name: TriggerName, definition: TriggerDefinition, exchange: RecordedExchange | undefined): string {
  const facts = [
    `When: ${definition.when}.${definition.fired ? "" : ` Sluice does not fire it: ${definition.unfired}.`}`,
    `* Kind: ${definition.answer}. ${definition.action}`,
    ...(definition.empty ? [`* Empty answer: ${definition.empty === "deny" ? "no" : "the value stays"}.`] : []),
    ...(definition.fail ? [`* When a handler fails and says nothing about that: ${definition.fail === "deny" ? "no" : "yes"}.`] : []),
    ...(definition.access ? ["* It lets somebody in: `onFail` is required beside `handle`."] : []),
    ...(definition.actions
      ? [`* Typed answers (\`X-Mist-Trigger-Action\`): ${["value", ...definition.actions].map((word) => `\`${word}\``).join(", ")}.`]
      : []),
    ...(definition.life
      ? [
          "* The answer may have a life: `ttl`, `staleFor`, `recheckEvery`, `denyFor`, `scope`, `user`, `tags`, `limits`; see docs/recipes/webhooks.md.",
        ]
      : []),
    `* Stream filter: ${filterWords(definition)}`,
    ...(definition.argument ? [`* \`params\`: ${definition.argument}.`] : []),
    ...(definition.request
      ? ["* Functions also get `asked`, `recheck`, `query`, `headers`, `cookies` and, over TLS, `tls` of the client's request."]
      : []),
    ...(definition.ordered ? ["* Calls about one stream reach a handler in order."] : []),
    ...(definition.trailingNewline ? ["* The payload ends with a line break."] : []),
  ];
  const [first, ...others] = facts;
  const fields = Object.entries(definition.fields).map(([field, kind], index) => {
    const optional = definition.optional?.includes(field) ? ", may be absent" : "";
    return `| ${index + 1} | \`${field}\` | ${kinds[kind]}${optional} |`;
  });
  const table = ["| line | field | kind |", "| --- | --- | --- |", ...fields].join("\n");
  return [`## ${name}`, first, others.join("\n"), table, typeText(name, definition), exchangeText(name, exchange)].join("\n\n");
}

const types: Readonly<Record<FieldKind, string>> = { text: "string", integer: "number", json: "unknown" };
const answers: Readonly<Record<TriggerDefinition["answer"], string>> = {
  verdict: "Yes | Deny | boolean",
  rewrite: "Rewrite | Keep | Deny | string",
  notify: "void",
};

/** The handler's type as an editor shows it. */
function typeText(name: TriggerName, definition: TriggerDefinition): string {
  const fields = Object.entries(definition.fields).map(
    ([field, kind]) => `  readonly ${field}${definition.optional?.includes(field) ? "?" : ""}: ${types[kind]};`,
  );
  const request = definition.request ? " & RequestDetails" : "";
  const answer = definition.life ? "Allow | Deny | boolean" : answers[definition.answer];
  const lines = [`// Handler<"${name}">`, "(payload: {", ...fields, `}${request}, context: HandlerContext) => ${answer}`];
  return ["```ts", `${lines.join("\n")} | Promise<${answer}>`, "```"].join("\n");
}

/** A recorded call; very long lines were cut. */
function exchangeText(name: TriggerName, exchange: RecordedExchange | undefined): string {
  if (!exchange) return "No exchange was recorded.";
  const { how, body, reply, headers = { "X-Trigger": name } } = exchange;
  const head = Object.entries(headers).map(([header, value]) => `${header}: ${value}`);
  const answer = `HTTP/1.1 200 OK\n\n${reply}`.trimEnd();
  return [`Recorded (${how}):`, "", "```http", "POST / HTTP/1.1", ...head, "", body, "", answer, "```"].join("\n");
}

function filterWords({ filter, filterOnBase }: TriggerDefinition): string {
  if (filter === undefined) return "does not apply.";
  if (filter === "streams") return "on the first of `streams`.";
  return filterOnBase ? `on the base name (before \`+\`) of \`${filter}\`.` : `on \`${filter}\`.`;
}

function fieldLines(definition: TriggerDefinition): readonly string[] {
  return Object.entries(definition.fields).map(([field, kind]) => {
    const optional = definition.optional?.includes(field) ? ", may be absent" : "";
    return `${label(field)} (${kinds[kind]}${optional})`;
  });
}

/** `sessionId` -> `session id`. */
function label(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function link(name: TriggerName): string {
  return `[${name}](#${name.toLowerCase()})`;
}

function rows(): readonly (readonly [TriggerName, TriggerDefinition])[] {
  return Object.entries(triggers) as [TriggerName, TriggerDefinition][];
}
