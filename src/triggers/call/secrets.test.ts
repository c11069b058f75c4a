import { describe, expect, it } from "vitest";
import { parseTriggerEntries } from "../entry.ts";
import { withoutSecrets, withSecrets } from "./secrets.ts";
import { parseSecret, signatureHeaders } from "./signature.ts";

const secret = (text: string): string => `whsec_${Buffer.from(text.padEnd(24, "-")).toString("base64")}`;
const url = "http://127.0.0.1:1/";

describe("secrets of entries", () => {
  const plain = [["/bin/x", true], { handler: url, "x-LSP-note": "mine" }, null];
  const current = { USER_NEW: [{ handler: url, format: "json", secret: [secret("a"), secret("b")] }], CONN_OPEN: plain, ODD: 5 };

  it("are masked where they are read, and everything else is untouched", () => {
    const shown = withoutSecrets(current);
    expect(JSON.stringify(shown)).not.toContain(secret("a"));
    expect(shown.CONN_OPEN).toBe(plain);
    expect(withoutSecrets({ CONN_OPEN: plain })).toEqual({ CONN_OPEN: plain });
    const unmarked = { CONN_OPEN: plain, ODD: 5 };
    expect(withoutSecrets(unmarked)).toBe(unmarked);
  });

  it("come back when somebody writes what was read", () => {
    const written = structuredClone(withoutSecrets(current));
    expect(withSecrets(written, current)).toEqual(current);
    expect(withSecrets({ USER_NEW: [{ handler: url, secret: secret("c") }] }, current)).toEqual({
      USER_NEW: [{ handler: url, secret: secret("c") }],
    });
    expect(() => withSecrets(written, {})).toThrow("stands for a secret that is not there");
    expect(withSecrets(null, current)).toBe(null);
  });

  it.each([
    [{ format: "xml" }, "USER_NEW[0].format"],
    [{ handler: "/bin/x", format: "json" }, "USER_NEW[0].format"],
    [{ secret: secret("a") }, "USER_NEW[0].secret: what stands here does not fit"],
    [{ format: "json", secret: "hunter2hunter2" }, 'USER_NEW[0].secret: what stands here does not fit; it must be "whsec_"'],
    [{ format: "json", secret: "whsec_AAAA" }, "USER_NEW[0].secret"],
    [{ format: "json", secret: [secret("a"), "x"] }, "USER_NEW[0].secret[1]"],
    [{ format: "json", secret: [] }, "USER_NEW[0].secret"],
    [{ ca: 5 }, "USER_NEW[0].ca"],
    [{ ca: "-----BEGIN nothing" }, "USER_NEW[0].ca"],
    [{ timeoutMs: 0 }, "USER_NEW[0].timeoutMs"],
    [{ timeoutMs: "5s" }, "USER_NEW[0].timeoutMs"],
  ])("wrong options are named and not shown: %j", (more, words) => {
    const parse = (): unknown => parseTriggerEntries({ USER_NEW: [{ handler: url, ...more }] }, "triggers");
    expect(parse).toThrow(words);
    expect(parse).not.toThrow("hunter2");
  });
});

describe("signatures", () => {
  it("are those of the specification's example", () => {
    const key = parseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    expect(key).toBeDefined();
    const headers = signatureHeaders("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999, '{"test": 2432232314}', key ? [key] : []);
    expect(headers).toEqual({
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
    expect(JSON.stringify(key)).not.toContain("MfKQ");
  });
});
