import { Command } from "commander";
import { messageOf, SluiceError } from "../base/errors.ts";
import { loadConfiguration } from "../config/load.ts";
import { startReceiverService } from "../receiver-service.ts";

export type ReceiverCommandOptions = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
};

type Flags = {
  readonly config?: string;
  readonly data?: string;
  readonly mist: string;
  readonly host?: string;
  readonly port: string;
  readonly publicUrl?: string;
  readonly user?: string;
  readonly password?: string;
  readonly removeOnExit?: true;
};

/** `sluice receiver`: lets a configuration decide for a MistServer. It ends by SIGTERM or SIGINT. */
export function receiverCommand({ environment, print, complain }: ReceiverCommandOptions): Command {
  return new Command("receiver")
    .exitOverride()
    .showSuggestionAfterError()
    .description("serve the policies and handlers of a configuration to a MistServer, and install its triggers there")
    .requiredOption("--mist <url>", "the MistServer's API, such as http://HOST:4242")
    .option("--config <file>", "configuration; else sluice.config.ts, .js or .json in the working directory (SLUICE_CONFIG)")
    .option("--data <dir>", "folder of the tokens (SLUICE_DATA); no server may have it at the same time")
    .option("--port <n>", "port for the MistServer's calls, 0 for any", "8090")
    .option("--host <address>", "address to listen on; left out: 127.0.0.1, or all with --public-url")
    .option("--public-url <url>", "how the MistServer reaches this; needed unless it runs on this machine")
    .option("--user <name>", "account at the MistServer, where it asks for one (SLUICE_MIST_USER)")
    .option("--password <password>", "its password; better in SLUICE_MIST_PASSWORD, as others see flags")
    .option("--remove-on-exit", "take the triggers out again at the end; otherwise nobody is let in while this does not run")
    .action(async (flags: Flags) => {
      const { config: file, data } = flags;
      const username = flags.user ?? environment["SLUICE_MIST_USER"];
      const password = flags.password ?? environment["SLUICE_MIST_PASSWORD"];
      if (flags.publicUrl === undefined && !isLocal(flags.mist))
        throw new SluiceError(
          "config.invalid",
          `--public-url is missing: the MistServer at ${flags.mist} has to reach this machine, as http://ADDRESS:${flags.port}/`,
        );
      const loaded = await loadConfiguration({ file, cwd: process.cwd(), environment, flags: data === undefined ? {} : { data } });
      const service = await startReceiverService(loaded, {
        mist: { url: flags.mist, ...(username !== undefined && { username }), ...(password !== undefined && { password }) },
        host: flags.host ?? (flags.publicUrl === undefined ? "127.0.0.1" : "0.0.0.0"),
        port: readPort(flags.port),
        ...(flags.publicUrl !== undefined && { publicUrl: flags.publicUrl }),
        removeOnExit: flags.removeOnExit === true,
        logLine: complain,
      });
      print(`The receiver is ready: ${service.url} answers ${service.triggers.join(", ")} of ${flags.mist}`);
      await signalled();
      try {
        await service[Symbol.asyncDispose]();
      } catch (error) {
        throw new SluiceError("source.failed", `The receiver could not end in order: ${messageOf(error)}`, { cause: error });
      }
    });
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    // The receiver's timers keep no process alive, its listener does; a signal ends both.
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
}

function isLocal(url: string): boolean {
  return !URL.canParse(url) || ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
}

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65535) return port;
  throw new SluiceError("config.invalid", `--port ${text}: it must be a number from 0 to 65535`);
}
