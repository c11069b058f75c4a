import { describe, expect, it } from "vitest";
import { startApi } from "../../test/support/api-server.ts";
import { readConfiguration } from "./load.ts";
import { readOverrides } from "./overrides.ts";

const url = "postgres://me:very-secret@db.example/sluice";

describe("the address of the store", () => {
  it("is taken from the file, a flag and the environment; left out, there is none", () => {
    expect(readConfiguration({ store: url }, "x").settings.store).toBe(url);
    expect(readConfiguration({}, "x").settings.store).toBeUndefined();
    expect(readOverrides({ store: url }, {})).toMatchObject({ store: url });
    expect(readOverrides({}, { SLUICE_STORE: url })).toMatchObject({ store: url });
    expect(readOverrides({}, { SLUICE_STORE: "" })).toEqual({});
  });

  it.each(["mysql://me:very-secret@db/x", "very-secret", "postgres://", 5])("is refused without showing it: %s", (store) => {
    const words = (run: () => unknown): string => {
      try {
        run();
        return "taken";
      } catch (error) {
        return String(error);
      }
    };
    const said = [words(() => readConfiguration({ store }, "sluice.config.json"))];
    if (typeof store === "string")
      said.push(
        words(() => readOverrides({ store }, {})),
        words(() => readOverrides({}, { SLUICE_STORE: store })),
      );
    for (const text of said) {
      expect(text).toMatch(/(store|--store|SLUICE_STORE) is wrong; it must be the address of a PostgreSQL database: postgres:\/\/USER/);
      expect(text).not.toContain("very-secret");
    }
  });

  it("is not in the API's answers, and cannot be changed there", async () => {
    await using api = await startApi({ config: { store: url } });
    const headers = { "Content-Type": "application/json" };
    const answers = [
      await api.ask({ method: "GET", path: "/api/v1/config" }),
      await api.ask({ path: "/api2", headers, body: JSON.stringify({ config: true, config_backup: true, capabilities: true }) }),
      await api.ask({ method: "PATCH", path: "/api/v1/config", headers, body: JSON.stringify({ store: "postgres://other/x" }) }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400]);
    for (const { text } of answers) expect(text).not.toContain("very-secret");
    expect(api.configuration.settings.store).toBe(url);
  });
});
