import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { createFailureLog } from "./failures.ts";

function scene() {
  const clock = new FakeClock();
  const lines: string[] = [];
  const failures = createFailureLog({ write: (_, message) => void lines.push(message) }, clock);
  return { clock, lines, failures };
}

describe("failure log", () => {
  it("writes the first at once, then a sum each minute, then forgets", async () => {
    const { clock, lines, failures } = scene();
    for (let index = 0; index < 1000; index++) failures.report("a", `a failed (${index})`);
    failures.report("b", "b failed");
    expect(lines).toEqual(["a failed (0)", "b failed"]);
    await clock.advance(60_000);
    expect(lines.slice(2)).toEqual(["a failed (0) (999 more times since this was last written)"]);
    failures.report("a", "a failed");
    await clock.advance(60_000);
    expect(lines.slice(3)).toEqual(["a failed (0) (1 more time since this was last written)"]);
    await clock.advance(60_000);
    failures.report("a", "a failed again");
    expect(lines.slice(4)).toEqual(["a failed again"]);
  });

  it("is bounded, and tells at the end what is still counted", () => {
    const { lines, failures } = scene();
    for (let index = 0; index < 1000; index++) failures.report(String(index), `failure ${index}`);
    expect(lines).toHaveLength(256);
    failures.report("0", "failure 0");
    failures[Symbol.dispose]();
    expect(lines.slice(256)).toEqual(["failure 0 (1 more time since this was last written)"]);
  });
});
