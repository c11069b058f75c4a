import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

/** Debian's Chromium with an empty profile, with `more` flags. Each page is another viewer: cookies of the one before are gone. */
export async function startBrowser(more: readonly string[] = []): Promise<{ newPage(): Promise<Page> } & AsyncDisposable> {
  const profile = mkdtempSync(join(tmpdir(), "sluice-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    headless: true,
    args: [...flags, ...more],
    viewport: { width: 960, height: 640 },
  });
  return {
    newPage: async () => {
      await context.clearCookies();
      return context.newPage();
    },
    [Symbol.asyncDispose]: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Resolves with the value of `expression` in the page as soon as it is truthy. It is asked from outside: the player page's
 * own policy, which holds in tests too, allows no text to be run as script inside.
 */
export async function pageUntil(page: Page, expression: string, timeoutMs = 30_000): Promise<unknown> {
  const limit = performance.now() + timeoutMs;
  for (;;) {
    const value: unknown = await page.evaluate(expression);
    if (value) return value;
    if (performance.now() > limit)
      throw new Error(`not within ${timeoutMs} ms: ${expression}; the page says: ${await page.innerText("body")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
