import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import Table from "cli-table3";
import { SluiceError } from "../base/errors.ts";

/** Where a command writes. Nothing that a client has chosen reaches it with its control characters. */
export type Terminal = {
  /** Writes as it is, line breaks and control sequences included. */
  readonly write: (text: string) => void;
  /** True for a terminal: what is shown may be drawn over. */
  readonly interactive: boolean;
  /** Colours, if the terminal has some and nobody has switched them off (NO_COLOR). */
  readonly style: (look: Look, text: string) => string;
  /** Aborted when the user has had enough. Called once, by who follows something. */
  readonly interrupted: () => AbortSignal;
};

export type Look = "good" | "bad" | "warn" | "dim" | "bold";

const looks = { good: "green", bad: "red", warn: "yellow", dim: "dim", bold: "bold" } as const;

/** The terminal of this process. */
export function createTerminal(stream: NodeJS.WriteStream = process.stdout): Terminal {
  // Who pipes into `head` has read enough.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  return {
    write: (text) => void stream.write(text),
    interactive: stream.isTTY === true,
    style: (look, text) => styleText(looks[look], text, { stream }),
    interrupted() {
      const controller = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
      return controller.signal;
    },
  };
}

/** Text of clients and handlers without what would steer a terminal. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this removes
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "?");
}

/** Columns without lines around them; those in `numbers` stand to the right. Texts may be styled. */
export function table(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: readonly string[] = [],
): string {
  const sides = ["top", "bottom", "left", "right", "mid"].flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`]);
  const made = new Table({
    head: head.map((name) => terminal.style("bold", name)),
    chars: { ...Object.fromEntries([...sides, "left-mid", "right-mid"].map((side) => [side, ""])), middle: "  " },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
    colAligns: head.map((name) => (numbers.includes(name) ? "right" : "left")),
  });
  made.push(...rows.map((row) => [...row]));
  return made
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const screen = {
  enter: "\u001b[?1049h\u001b[?25l",
  leave: "\u001b[?25h\u001b[?1049l",
  home: "\u001b[H",
  clearLine: "\u001b[K",
  clearRest: "\u001b[J",
} as const;

/** Shows something once, or with `watch` (seconds) again and again until the user has had enough: on a terminal in its place. */
export async function show(terminal: Terminal, watch: string | true | undefined, draw: () => Promise<string>): Promise<void> {
  if (watch === undefined) return terminal.write(`${await draw()}\n`);
  const seconds = watch === true ? 2 : Number(watch);
  if (!(seconds >= 0.1 && seconds <= 3600)) throw new SluiceError("config.invalid", `--watch ${watch}: write seconds from 0.1 to 3600`);
  const signal = terminal.interrupted();
  const drawn = (text: string): string =>
    terminal.interactive
      ? `${screen.home}${text.replaceAll("\n", `${screen.clearLine}\n`)}${screen.clearLine}\n${screen.clearRest}`
      : `${text}\n`;
  let entered = false;
  try {
    while (!signal.aborted) {
      const text = await draw();
      if (terminal.interactive && !entered) terminal.write(screen.enter);
      entered = true;
      if (!signal.aborted) terminal.write(drawn(text));
      await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    if (terminal.interactive && entered) terminal.write(screen.leave);
  }
}

/** `1.5 GB`. */
export function bytes(count: number): string {
  return scaled(count, 1000, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** `4.2 Mbit/s`. */
export function bitRate(bits: number): string {
  return scaled(bits, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
}

/** `2d 3h`, `5m 10s`. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let [rest, at] = [value, 0];
  for (; rest >= step && at < units.length - 1; at++) rest /= step;
  return `${at === 0 ? Math.round(rest) : rest.toFixed(1)} ${units[at]}`;
}
