import { z } from "zod";
import { canonicalAddress, parseAddress } from "../../base/address.ts";
import { SluiceError } from "../../base/errors.ts";
import { durationMs } from "../../base/time.ts";
import { signedQuery, signingKeys } from "../../policies/signed-url.ts";
import { namePatterns } from "../../policies/stream-patterns.ts";
import { streamOfUrl } from "../../policies/stream-of-url.ts";
import type { ApiParts } from "../parts.ts";
import { type Route, route } from "./route.ts";

const urlWords = "an address of this server, such as http://HOST:8080/hls/live/index.m3u8";
const lifeWords = 'a duration such as "1h" or "15m"';
const addressWords = "an address of a client";

const wanted = z
  .strictObject({
    url: z.string(urlWords).refine((text) => URL.canParse(text), urlWords),
    expiresIn: z.string(lifeWords).refine(isDuration, lifeWords).default("1h"),
    ip: z
      .string(addressWords)
      .refine((text) => parseAddress(text) !== undefined, addressWords)
      .optional()
      .meta({ description: "The one client that may use it. Left out: whoever has it." }),
  })
  .meta({ id: "UrlToSign" });

/** `/signed-urls`: addresses that the policy accessControl takes, signed with its first key for the stream. */
export function signRoutes({ policies, clock }: Pick<ApiParts, "policies" | "clock">): readonly Route[] {
  return [
    route({
      method: "post",
      path: "/signed-urls",
      operationId: "signUrl",
      summary: "Sign an address, with a key of the policy accessControl",
      tag: "signed-urls",
      scope: "operate",
      body: wanted,
      bodyExample: { url: "http://127.0.0.1:8080/hls/live/index.m3u8", expiresIn: "1h" },
      response: z.object({ url: z.string(), expiresAt: z.number().meta({ description: "Unix milliseconds." }) }).meta({ id: "SignedUrl" }),
      example: {
        url: "http://127.0.0.1:8080/hls/live/index.m3u8?expires=1767225600&key=2026-11&signature=mJ5k0l8w0mVXl2zv3q1b7c9dTtYyRr4uA6sEoPnIiHg",
        expiresAt: 1_767_225_600_000,
      },
      run({ body: { url, expiresIn, ip } }) {
        const target = new URL(url);
        const stream = streamOfUrl(target);
        if (stream === undefined) throw new SluiceError("input.invalid", `url must be ${urlWords}`);
        const [key, secret] = keyFor(stream, policies());
        const expires = Math.ceil((clock.now() + durationMs(expiresIn as `${number}s`)) / 1000);
        const address = ip === undefined ? undefined : canonicalAddress(ip);
        const signing = signingKeys({ [key]: secret }).get(key);
        if (!signing) throw new SluiceError("api.unknown", "There is no key to sign with");
        for (const [name, value] of signedQuery({ stream, expires, address }, key, signing)) target.searchParams.set(name, value);
        return { body: { url: target.href, expiresAt: expires * 1000 } };
      },
    }),
  ];
}

type SigningRule = { readonly streams?: readonly string[]; readonly signed?: Readonly<Record<string, string>> };

/** The first key of the first rule that wants signed addresses of this stream. Throws "api.unknown". */
function keyFor(stream: string, policies: ReturnType<ApiParts["policies"]>): readonly [name: string, secret: string] {
  for (const { policy } of policies) {
    const { rules } = policy.options as { readonly rules?: readonly SigningRule[] };
    if (policy.name !== "accessControl" || !rules) continue;
    const rule = rules.find(({ signed, streams }) => signed && namePatterns(streams)(stream));
    const [first] = Object.entries(rule?.signed ?? {});
    if (first) return first;
  }
  throw new SluiceError(
    "api.unknown",
    `No rule of the policy accessControl wants signed addresses of this stream; add one with \`signed\``,
  );
}

function isDuration(text: string): boolean {
  try {
    return durationMs(text as `${number}s`) > 0;
  } catch {
    return false;
  }
}
