import { defineConfig } from "vitest/config";
import { CountReporter } from "./test/support/count-reporter.ts";

const alias = {
  "sluice/receiver": new URL("./src/receiver/index.ts", import.meta.url).pathname,
  sluice: new URL("./src/index.ts", import.meta.url).pathname,
};

export default defineConfig({
  resolve: { alias },
  test: {
    reporters: ["default", new CountReporter()],
    projects: [
      { resolve: { alias }, test: { name: "unit", include: ["src/**/*.test.ts", "test/rules/**/*.test.ts"], testTimeout: 10_000 } },
      {
        resolve: { alias },
        test: { name: "contract", include: ["test/contract/**/*.test.ts", "test/conformance/**/*.test.ts"], testTimeout: 60_000 },
      },
      {
        resolve: { alias },
        test: {
          name: "interop",
          include: ["test/interop/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
