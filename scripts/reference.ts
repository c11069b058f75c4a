// Writes every generated reference page: node scripts/reference.ts. Tests fail while a page differs from what is written here.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { callNames } from "../src/api/mist/calls.ts";
import { mistApiReference } from "../src/api/mist/reference.ts";
import { cliReference, commands } from "../src/cli/commands.ts";
import { errorCodes } from "../src/base/errors.ts";
import { eventReference } from "../src/api/events/kinds.ts";
import { restReference } from "../src/api/rest/reference.ts";
import { restRoutes } from "../src/api/rest/routes.ts";
import { metricReference } from "../src/metrics/reference.ts";
import { protocols } from "../src/protocols.ts";
import { triggerReference } from "../src/triggers/reference.ts";

/** Calls that a MistServer was recorded to make. */
const exchanges = JSON.parse(readFileSync(new URL("../test/fixtures/golden/exchanges.json", import.meta.url), "utf8")) as Parameters<
  typeof triggerReference
>[0];

/** Commands are only asked for their help here. */
const silent = (): void => undefined;
const terminal = {
  write: silent,
  interactive: false,
  style: (_look: string, text: string) => text,
  interrupted: () => AbortSignal.abort(),
};
const commandParts = { environment: {}, terminal, complain: silent, exit: silent };

/** The page's path in the checkout, and what makes its text. Add a line for another page. */
export const referencePages: Readonly<Record<string, () => string>> = {
  "docs/reference/cli.md": () => cliReference(commands(commandParts)),
  "docs/reference/triggers.md": () => triggerReference(exchanges),
  "docs/reference/errors.md": errorReference,
  "docs/reference/protocols.md": protocolReference,
  "docs/reference/metrics.md": metricReference,
  "docs/reference/mist-api.md": () => mistApiReference(callNames),
  "docs/reference/events.md": eventReference,
  // Routes are values: nothing of a server is asked before one of them runs.
  "docs/reference/rest.md": () => restReference(restRoutes({ clock: { now: () => 0 } } as never)),
};

function errorReference(): string {
  const rows = Object.entries(errorCodes).map(([code, { status, meaning, todo }]) => `| \`${code}\` | ${status} | ${meaning} | ${todo} |`);
  return `# Errors

Made from \`src/base/errors.ts\`. The code is stable and meant for programs, the message is for people. Over HTTP the status is as below and
the body is the message; over RTMP the message is the description of the status.

| code | HTTP status | what happened | what to do |
|---|---|---|---|
${rows.join("\n")}
`;
}

function protocolReference(): string {
  const codecs = (names: readonly string[]): string => (names.length === 0 ? "" : names.join(", "));
  const rows = protocols.map(({ name, connector, description, codecs: { publish, play }, watch }) => {
    const addresses = watch.map(({ scheme, path }) => `\`${scheme}://HOST${path.replace("$", "NAME")}\``).join("<br>");
    return `| ${name} | ${connector} | ${description} | ${addresses} | ${codecs(publish)} | ${codecs(play)} |`;
  });
  return `# Protocols

Made from the registry in \`src/protocols.ts\`. Codecs are called what FFmpeg calls them.

| protocol | connector | | watch | publish | play |
|---|---|---|---|---|---|
${rows.join("\n")}
`;
}

if (import.meta.main) {
  for (const [path, make] of Object.entries(referencePages)) {
    mkdirSync(new URL("./", new URL(`../${path}`, import.meta.url)), { recursive: true });
    writeFileSync(new URL(`../${path}`, import.meta.url), make());
    console.log(`wrote ${path}`);
  }
}
