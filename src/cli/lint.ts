import { Command } from "commander";
import type { Finding } from "../config/lint.ts";

/**
 * `sluice lint`: reads the configuration, starts nothing, prints what works but probably not as it was meant. Exit code 0:
 * nothing but notes; 1: warnings. A configuration that is wrong rejects with "config.invalid", which the program ends with 2 for.
 */
export function lintCommand(): Command {
  return new Command("lint")
    .exitOverride()
    .showSuggestionAfterError()
    .description("look through the configuration: who fails open, who cannot be called, what is never asked")
    .option("--config <file>", "configuration; else sluice.config.ts, .js or .json in the working directory (SLUICE_CONFIG)")
    .action(async ({ config }: { readonly config?: string }) => {
      const [{ lintConfiguration }, { loadConfiguration }] = await Promise.all([import("../config/lint.ts"), import("../config/load.ts")]);
      const cwd = process.cwd();
      const loaded = await loadConfiguration({ file: config, cwd, environment: process.env });
      const findings = lintConfiguration(loaded, { cwd, searchPath: process.env["PATH"] ?? "" });
      for (const finding of findings) process.stdout.write(`${lineOf(finding)}\n`);
      const warnings = findings.filter(({ severity }) => severity === "warning").length;
      process.stdout.write(
        `${loaded.file ?? "no configuration file"}: ${counted(warnings, "warning")}, ${counted(findings.length - warnings, "note")}\n`,
      );
      process.exitCode = warnings === 0 ? 0 : 1;
    });
}

function lineOf({ severity, path, message }: Finding): string {
  return path === "" ? `${severity}: ${message}` : `${severity}: ${path}: ${message}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
