#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { isSluiceError, messageOf } from "./base/errors.ts";
import { type CommandParts, commands } from "./cli/commands.ts";
import { createTerminal } from "./cli/terminal.ts";

/** How the program ends: in order, because something failed, because the configuration is wrong. */
const exit = { inOrder: 0, failed: 1, configuration: 2 } as const;

type ServeFlags = {
  readonly config?: string;
  readonly data?: string;
  readonly store?: string;
  readonly host?: string;
  readonly rtmpPort?: string;
  readonly httpPort?: string;
  readonly apiPort?: string;
  readonly logLevel?: string;
};

/** Milliseconds after the first signal in which a second one ends the server without asking. What comes sooner may be the same Ctrl+C, passed on by npm as well. */
const second = { from: 300, to: 10_000 } as const;

/** Starts the server and stays until it has ended. Resolves with the exit code. */
async function serve(flags: ServeFlags): Promise<number> {
  // Not for those commands that only talk to a server.
  const [{ createConfigSource }, { startServer }] = await Promise.all([import("./config/reload/source.ts"), import("./server.ts")]);
  const { config, ...overrides } = flags;
  const source = createConfigSource({ file: config, cwd: process.cwd(), environment: process.env, flags: overrides });
  const server = await startServer(await source.load(), { source, logLine: (line) => void process.stderr.write(`${line}\n`) });
  let asked = -Infinity;
  const stop = (signal: NodeJS.Signals): void => {
    const since = performance.now() - asked;
    if (since >= second.from && since <= second.to) return void server[Symbol.asyncDispose]();
    if (since > second.to) asked = performance.now();
    void server.stop(`signal ${signal}`, `a second ${signal} within ${second.to / 1000} s of the first ends it without asking`);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  const reload = (): void => void server.reload("SIGHUP");
  process.on("SIGHUP", reload);
  process.stdout.write(`${server.readyLine}\n`);
  await server.stopped;
  process.off("SIGTERM", stop);
  process.off("SIGINT", stop);
  process.off("SIGHUP", reload);
  return exit.inOrder;
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { readonly version: string };
const program = new Command("sluice")
  .description("A live media server that asks your code at every decision.")
  .version(version, "-V, --version", "the version of Sluice")
  .addHelpText("after", "\n`sluice` alone starts the server; `sluice serve --help` lists its flags, which may stand without `serve`, too.")
  .exitOverride()
  .showSuggestionAfterError();

program
  .command("serve", { isDefault: true })
  .description("start the server (the default)")
  .option("--config <file>", "configuration; else sluice.config.ts, .js or .json in the working directory (SLUICE_CONFIG)")
  .option("--data <dir>", "folder for what must survive a restart (SLUICE_DATA)")
  .option("--store <url>", "a PostgreSQL database that keeps it instead, postgres://... (SLUICE_STORE)")
  .option("--host <address>", "address to listen on (SLUICE_HOST)")
  .option("--rtmp-port <n>", "port for RTMP, 1935 (SLUICE_RTMP_PORT)")
  .option("--http-port <n>", "port for players, 8080 (SLUICE_HTTP_PORT)")
  .option("--api-port <n>", "port for the API, 4242 (SLUICE_API_PORT)")
  .option("--log-level <kind>", "least urgent kind of line in the log: FAIL, ERROR, WARN, ..., INFO, MEDIUM, HIGH (SLUICE_LOG_LEVEL)")
  .allowExcessArguments()
  .action(async (flags: ServeFlags, { args: [word] }: Command) => {
    if (word !== undefined) program.error(`error: there is no command ${JSON.stringify(word)}; sluice --help lists those that there are`);
    process.exitCode = await serve(flags);
  });
const parts: CommandParts = {
  environment: process.env,
  terminal: createTerminal(),
  complain: (text) => void process.stderr.write(`${text}\n`),
  exit: (code) => {
    process.exitCode = code;
  },
};
for (const command of commands(parts)) program.addCommand(command);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exit.inOrder : exit.configuration;
  } else {
    process.stderr.write(
      `sluice: ${isSluiceError(error) ? error.message : error instanceof Error ? (error.stack ?? messageOf(error)) : messageOf(error)}\n`,
    );
    process.exitCode = isSluiceError(error, "config.invalid") ? exit.configuration : exit.failed;
  }
}
