import { expect, it } from "vitest";
import { createLog } from "./log.ts";

const clock = { now: () => Date.UTC(2026, 10, 22, 17, 36, 39, 123) };

it("writes a line with time, kind, stream and fields, and keeps it for the API", () => {
  const lines: string[] = [];
  const log = createLog({ level: "INFO", write: (line) => lines.push(line), clock });
  log.write("WARN", "publisher has left", { stream: "live", address: "203.0.113.5", after: undefined });
  expect(lines).toEqual(["2026-11-22 17:36:39.123 WARN live: publisher has left (address=203.0.113.5)"]);
  expect(log.entries()).toEqual([{ unix: 1795368999, kind: "WARN", message: "publisher has left (address=203.0.113.5)", stream: "live" }]);
});

it("drops what is less urgent than its level and forgets all but the last 100 lines", () => {
  const log = createLog({ level: "WARN", write: () => {}, clock });
  log.write("INFO", "not of interest");
  for (let n = 0; n < 150; n++) log.write("FAIL", `line ${n}`);
  expect(log.entries()).toHaveLength(100);
  expect(log.entries()[0]?.message).toBe("line 50");
});

it("lets no client begin a line of its own", () => {
  const lines: string[] = [];
  const log = createLog({ level: "INFO", write: (line) => lines.push(line), clock });
  log.write("INFO", "name \n2026 FAIL forged\u001b[31m", { stream: "a\r\nb" });
  expect(lines).toHaveLength(1);
  // oxlint-disable-next-line no-control-regex -- this is what must not be there
  expect(lines[0]).not.toMatch(/[\u0000-\u001f]/);
});
