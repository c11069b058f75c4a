import { createServer } from "node:http";
import { describe, expect, it } from "vitest";
import { freePort } from "../../test/support/free-port.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { createVariableTargets, words } from "./variable-targets.ts";

function bench() {
  const clock = new FakeClock();
  const values: string[] = [];
  const warnings: string[] = [];
  const targets = createVariableTargets({
    clock,
    log: { write: (_kind, message) => void warnings.push(message) },
    found: (name, value) => void values.push(`${name}=${value.trim()}`),
  });
  return { clock, values, warnings, targets, [Symbol.dispose]: () => targets[Symbol.dispose]() };
}

async function site(answer: (name: string) => { status?: number; body: string }) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const name = String(request.headers["x-custom-variable"]);
    asked.push(name);
    const { status = 200, body } = answer(name);
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    asked,
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/secret`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("targets of variables", () => {
  it("a URL is asked at once and at each interval, with the variable's name", async () => {
    let count = 0;
    await using from = await site(() => ({ body: ` ${++count}\n` }));
    using scene = bench();
    scene.targets.configure({ a: { target: from.url, interval: 10, waitTime: 5 }, plain: { interval: 0, waitTime: 0 } });
    await expect.poll(() => scene.values).toEqual(["a=1"]);
    await scene.clock.advance(10_000);
    await expect.poll(() => scene.values).toEqual(["a=1", "a=2"]);
    // The same again asks nothing; a change asks at once; what is gone is not asked any more.
    scene.targets.configure({ a: { target: from.url, interval: 10, waitTime: 5 } });
    scene.targets.configure({ a: { target: from.url, interval: 20, waitTime: 5 } });
    await expect.poll(() => scene.values).toEqual(["a=1", "a=2", "a=3"]);
    scene.targets.configure({});
    await scene.clock.advance(60_000);
    expect(from.asked).toEqual(["a", "a", "a"]);
  });

  it("a command is run without a shell, with the variable's name", async () => {
    using scene = bench();
    scene.targets.configure({ b: { target: `printf '%s %s' "$HOME; id" '*'`, interval: 0, waitTime: 5 } });
    await expect.poll(() => scene.values).toEqual(["b=$HOME; id *"]);
    scene.targets.configure({ c: { target: "printenv MIST_CUSTOM_VARIABLE", interval: 0, waitTime: 5 } });
    await expect.poll(() => scene.values).toContain("c=c");
  });

  it("what fails changes nothing, and its words hold no secret", async () => {
    await using from = await site(() => ({ status: 500, body: "secret" }));
    using scene = bench();
    const once = { interval: 0, waitTime: 1 };
    scene.targets.configure({
      a: { target: from.url, ...once },
      b: { target: "/no/such/secret", ...once },
      c: { target: "sh -c 'exit 3' secret", ...once },
      d: { target: `http://127.0.0.1:${await freePort()}/secret`, ...once },
      e: { target: "sleep 30", ...once },
    });
    await expect.poll(() => scene.warnings.length, { timeout: 10_000 }).toBe(5);
    expect(scene.values).toEqual([]);
    const text = scene.warnings.toSorted().join("\n");
    expect(text).not.toContain("secret");
    expect(text).toMatch(
      /a keeps its value: the answer is 500\n.* b .*not there\n.* c .*ended with 3\n.* d .*cannot be reached.*\n.* e .*within 1 s/,
    );
  });

  it("an answer without end is cut", async () => {
    await using from = await site(() => ({ body: "x".repeat(200_000) }));
    using scene = bench();
    scene.targets.configure({ a: { target: from.url, interval: 0, waitTime: 5 } });
    await expect.poll(() => scene.warnings).toEqual([expect.stringContaining("longer than 65536 bytes")]);
  });

  it.each([
    [`a  b`, ["a", "b"]],
    [`a "b c" 'd "e'`, ["a", "b c", 'd "e']],
    [`a --x="b c"d`, ["a", "--x=b cd"]],
    ["", []],
  ])("%s is split into words", (line, wanted) => {
    expect(words(line)).toEqual(wanted);
  });
});
