import type { Command } from "commander";
import { clientOf, type LiveFlags, liveCommand, type LiveParts } from "./live-command.ts";

/** `sluice sign URL`: an address that the policy accessControl takes. */
export function signCommand(parts: LiveParts): Command {
  return liveCommand("sign", "sign an address with a key of the policy accessControl, and print it", parts)
    .argument("<url>", "an address of the server, such as http://HOST:8080/hls/live/index.m3u8")
    .option("--expires <duration>", 'how long it holds: "1h", "15m"', "1h")
    .option("--ip <address>", "the one client that may use it; left out: whoever has it")
    .action(async (url: string, { expires, ip, ...flags }: LiveFlags & { readonly expires: string; readonly ip?: string }) => {
      const body = { url, expiresIn: expires, ...(ip !== undefined && { ip }) };
      const signed = (await clientOf(flags, parts).post("/signed-urls", body)) as { readonly url: string };
      parts.terminal.write(flags.json ? `${JSON.stringify(signed)}\n` : `${signed.url}\n`);
    });
}
