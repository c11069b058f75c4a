import { readFileSync } from "node:fs";
import { type Agent, request } from "node:http";

/** One recorded request to MistServer's API, and its answer. */
export type Exchange = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly status: number;
  readonly contentType: string | null;
  readonly twoLineBreaks: boolean;
  readonly reply: Record<string, unknown>;
};

export function recorded(name: string): readonly Exchange[] {
  return JSON.parse(readFileSync(new URL(`../fixtures/golden/api/${name}.json`, import.meta.url), "utf8")).exchanges;
}

/**
 * A place where an answer may or must be another one. `at` is matched against the whole path, as `config.protocols.2.online`.
 * "type": any value of the recorded one's type, because it is another one each time; a function: what has to hold for ours instead.
 */
export type Rule = {
  readonly at: RegExp;
  readonly is: "type" | ((mine: unknown, theirs: unknown) => boolean);
  readonly because: string;
};

/** A list that the recording cut: `... trimmed, 17 entries total`. */
const trimmed = /^\.\.\. trimmed, (\d+) entries total$/;

/**
 * Compares an answer with the recorded one, member by member: the same members, the same types, lists of the same length in the same
 * order, the same values; where a rule fits, what the rule says. Gives a line for each difference, and notes which rules were needed.
 */
export function differences(mine: unknown, theirs: unknown, rules: readonly Rule[], used: Set<Rule>, at = ""): readonly string[] {
  const rule = rules.find((one) => one.at.test(at));
  if (rule) used.add(rule);
  if (typeof rule?.is === "function") return rule.is(mine, theirs) ? [] : [`${at}: ${JSON.stringify(mine)} (${rule.because})`];
  if (Array.isArray(theirs)) {
    if (!Array.isArray(mine)) return [`${at}: ${JSON.stringify(mine)} is no list`];
    const cut = trimmed.exec(String(theirs.at(-1)));
    const shown = cut ? theirs.slice(0, -1) : theirs;
    const length = cut ? Number(cut[1]) : theirs.length;
    const wrong = mine.length === length ? [] : [`${at}: ${mine.length} entries instead of ${length}`];
    return [...wrong, ...shown.flatMap((item, index) => differences(mine[index], item, rules, used, join(at, index)))];
  }
  if (typeof theirs === "object" && theirs !== null) {
    if (typeof mine !== "object" || mine === null || Array.isArray(mine)) return [`${at}: ${JSON.stringify(mine)} is no object`];
    const [ours, wanted] = [mine as Record<string, unknown>, theirs as Record<string, unknown>];
    const keys = [...new Set([...Object.keys(ours), ...Object.keys(wanted)])];
    return keys.flatMap((key) => {
      const path = join(at, key);
      const both = Object.hasOwn(ours, key) && Object.hasOwn(wanted, key);
      const said = rules.some((one) => one.at.test(path) && typeof one.is === "function");
      if (both || said) return differences(ours[key], wanted[key], rules, used, path);
      return [`${path}: ${Object.hasOwn(ours, key) ? "only here" : "missing"}`];
    });
  }
  if (rule?.is === "type") return typeof mine === typeof theirs ? [] : [`${at}: ${JSON.stringify(mine)} is no ${typeof theirs}`];
  return mine === theirs ? [] : [`${at}: ${JSON.stringify(mine)} instead of ${JSON.stringify(theirs)}`];
}

function join(at: string, key: string | number): string {
  return at === "" ? String(key) : `${at}.${key}`;
}

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: Record<string, unknown>;
};

/** Sends a recorded request to a server, over a connection of its own if no agent is given. */
export function replay(
  port: number,
  { method, path, headers, body }: Pick<Exchange, "method" | "path" | "headers" | "body">,
  agent?: Agent,
) {
  return new Promise<Answer>((resolve, reject) => {
    const call = request({ port, host: "127.0.0.1", method, path, headers: { ...headers }, agent: agent ?? false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        const json = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {};
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
      response.on("error", reject);
    });
    call.on("error", reject);
    call.end(body ?? undefined);
  });
}
