import { expect, it } from "vitest";
import { readTriggers } from "./trigger-entries.ts";

it("refuses reliable delivery for a function and says what can have it", () => {
  const handle = (): void => undefined;
  expect(() => readTriggers({ USER_END: { handle, delivery: "reliable" } }, "sluice.config.ts")).toThrow(
    /sluice\.config\.ts: .*triggers\.USER_END\.delivery.*a function ends with this process/s,
  );
  expect(readTriggers({ USER_END: { handler: "http://h/", delivery: "reliable" } }, "here").entries).toHaveProperty("USER_END");
});
