/** One metric as a scraper reads it. */
export type ScrapedMetric = {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
};

const name = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const label = `([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\["\\\\n])*)"`;
const helpLine = new RegExp(`^# HELP (${name}) ((?:[^\\\\]|\\\\[\\\\n])*)$`);
const typeLine = new RegExp(`^# TYPE (${name}) (counter|gauge|histogram|summary|untyped)$`);
const sampleLine = new RegExp(`^(${name})(?:\\{(${label}(?:,${label})*)?\\})? (-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?|NaN|[+-]Inf)$`);

/**
 * Reads the text format 0.0.4 as its grammar has it, and stricter: one HELP and one TYPE, in this order, before the samples
 * of each metric; no set of labels twice; nothing else. Throws with the line that is wrong.
 */
export function parsePrometheus(text: string): ReadonlyMap<string, ScrapedMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line has no line break");
  const found = new Map<string, { type: string; help: string; samples: { labels: Record<string, string>; value: number }[] }>();
  const seen = new Set<string>();
  let helped = "";
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    if (line === "") continue;
    const help = helpLine.exec(line);
    if (help) {
      if (found.has(help[1] ?? "")) throw new Error(`a second time: ${line}`);
      helped = help[1] ?? "";
      found.set(helped, { type: "", help: plain(help[2] ?? ""), samples: [] });
      continue;
    }
    const type = typeLine.exec(line);
    const metric = found.get((type ?? sampleLine.exec(line))?.[1] ?? "");
    if (type) {
      if (type[1] !== helped || metric?.type !== "") throw new Error(`not after its HELP, or a second time: ${line}`);
      metric.type = type[2] ?? "";
      current = helped;
      continue;
    }
    const sample = sampleLine.exec(line);
    if (!sample) throw new Error(`no line of the format: ${line}`);
    if (sample[1] !== current || !metric) throw new Error(`not below its TYPE: ${line}`);
    const labels = Object.fromEntries(
      [...(sample[2] ?? "").matchAll(new RegExp(label, "g"))].map(([, key, value]) => [key, plain(value ?? "")]),
    );
    const key = `${sample[1]} ${JSON.stringify(Object.entries(labels).toSorted())}`;
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    metric.samples.push({ labels, value: Number(sample.at(-1)?.replace("Inf", "Infinity")) });
  }
  return found;
}

/** The value of the one sample that has these labels; undefined if there is none. */
export function scraped(
  metrics: ReadonlyMap<string, ScrapedMetric>,
  metric: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const fits = (metrics.get(metric)?.samples ?? []).filter((one) =>
    Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  );
  if (fits.length > 1) throw new Error(`${metric} ${JSON.stringify(labels)}: ${fits.length} samples`);
  return fits[0]?.value;
}

function plain(escaped: string): string {
  return escaped.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
}
