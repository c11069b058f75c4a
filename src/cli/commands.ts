import type { Command } from "commander";
import { accountCommand, apiTokenCommand } from "./access.ts";
import { lintCommand } from "./lint.ts";
import type { LiveParts } from "./live-command.ts";
import { outboxCommand } from "./outbox.ts";
import { policyCommand } from "./policy.ts";
import { receiverCommand } from "./receiver.ts";
import { invalidateCommand, kickCommand, sessionsCommand } from "./sessions.ts";
import { signCommand } from "./sign.ts";
import { exportCommand, importCommand } from "./store.ts";
import { statusCommand } from "./status.ts";
import { streamsCommand } from "./streams.ts";
import { tokenCommand } from "./token.ts";
import { triggersCommand } from "./triggers.ts";
import { whyCommand } from "./why.ts";

export type CommandParts = LiveParts & {
  readonly complain: (text: string) => void;
  /** Called with the exit code when it is not 0. */
  readonly exit: (code: number) => void;
};

/** All commands but `serve`, in the order in which they are listed. */
export function commands(parts: CommandParts): readonly Command[] {
  const { environment, terminal, complain, exit } = parts;
  const print = (text: string): void => terminal.write(`${text}\n`);
  return [
    lintCommand(),
    statusCommand(parts),
    streamsCommand(parts),
    sessionsCommand(parts),
    kickCommand(parts),
    invalidateCommand(parts),
    whyCommand(parts),
    triggersCommand({ environment, print, complain, exit }),
    outboxCommand({ environment, print }),
    accountCommand(parts),
    apiTokenCommand(parts),
    policyCommand(parts),
    tokenCommand(parts),
    exportCommand(parts),
    importCommand(parts),
    signCommand(parts),
    receiverCommand({ environment, print, complain }),
  ];
}

/** The page docs/reference/cli.md: what `--help` of each command says. */
export function cliReference(all: readonly Command[]): string {
  const helps = all.flatMap(withAllBelow).map((command) => {
    const name = nameOf(command);
    // Shown as if it stood below the program.
    const help = command.configureHelp({ helpWidth: 120 }).helpInformation();
    const usage = help.replace(`Usage: ${name}`, `Usage: sluice ${name}`);
    return `## sluice ${name}\n\n\`\`\`text\n${usage.trimEnd()}\n\`\`\`\n`;
  });
  return `# Commands

Made from what \`sluice COMMAND --help\` says. \`sluice\` alone, or \`sluice serve\`, starts the server; the other commands talk to one that runs, over its API.

${helps.join("\n")}`;
}

function withAllBelow(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withAllBelow)];
}

function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}
