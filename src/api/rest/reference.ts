import { openApiDocument, scopeWords } from "./frame/document.ts";
import { type Route, scopes } from "./route.ts";

type Documented = {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description?: string }[];
  readonly requestBody?: unknown;
};

/** The page docs/reference/rest.md. */
export function restReference(routes: readonly Route[]): string {
  const { paths } = openApiDocument(routes, "") as { readonly paths: Readonly<Record<string, Readonly<Record<string, Documented>>>> };
  const groups = Map.groupBy(routes, ({ tag }) => tag);
  const sections = [...groups].map(([tag, group]) => {
    const rows = group.map((route) => {
      const { parameters = [] } = paths[route.path]?.[route.method] ?? {};
      const query = parameters.filter((one) => one.in === "query").map(({ name }) => `\`${name}\``);
      return `| \`${callOf(route)}\` | ${route.scope} | ${route.summary} | ${query.join(", ")} |`;
    });
    const examples = group.map(exampleOf).filter((text) => text !== "");
    return [`## ${tag}`, ["| call | scope | | query |", "|---|---|---|---|", ...rows].join("\n"), ...examples].join("\n\n");
  });
  return `${head}\n${sections.join("\n\n")}\n`;
}

function callOf({ method, path }: Route): string {
  return `${method.toUpperCase()} ${path}`;
}

function exampleOf(route: Route): string {
  const parts = [
    ...(route.bodyExample === undefined ? [] : [`// sent\n${JSON.stringify(route.bodyExample)}`]),
    ...(route.example === undefined ? [] : [`// answered\n${JSON.stringify(route.example, null, 2)}`]),
  ];
  return parts.length === 0 ? "" : `\`${callOf(route)}\`\n\n\`\`\`jsonc\n${parts.join("\n")}\n\`\`\``;
}

const head = `# REST API

<!-- Written by \`node scripts/reference.ts\` from the routes in src/api/rest/. Change those, not this page. -->

At \`/api/v1\` on the API port. The same as OpenAPI 3.1, with all fields: \`GET /api/v1/openapi.json\`, which needs no credentials; clients can be made of it. \`GET /api/v1\` lists the resources, without credentials, too. How to get in: [docs/recipes/api-access.md](../recipes/api-access.md).

**Scopes.** ${scopes.map((scope) => `\`${scope}\`: ${scopeWords[scope]}`).join(". ")}. With too little the status is 403 (\`api.scope\`), without credentials 401 (\`api.credentials\`), after too many wrong ones 429 (\`api.attempts\`) with \`Retry-After\`.

**Errors** are problem documents (RFC 9457, \`application/problem+json\`): \`type\`, \`title\`, \`status\`, \`detail\`, \`code\` ([docs/reference/errors.md](errors.md)), and \`errors\` with each wrong field (\`in\`, \`path\`, \`message\`). \`error\` says the same as \`detail\`. Parameters and fields that do not exist are errors, which name them.

**Lists** with \`limit\` (1 to 1000, 100 when it is left out) and \`cursor\` answer \`{ "items": [...], "next": "..." }\`; \`next\` is the \`cursor\` of the next page, and is missing on the last. What comes and goes meanwhile makes nothing appear twice.

**Tags.** Each \`GET\` has an \`ETag\`; \`If-None-Match\` with it is answered 304 as long as nothing is new. \`If-Match\` on \`PUT\`, \`PATCH\` and \`DELETE\` makes the change only if nobody else has made one since; else the status is 412 (\`api.changed\`). A stream's tag guards its configuration: a viewer who comes in between stops no change. \`If-None-Match: *\` on a \`PUT\` only adds.

**Secrets** are in no answer: passwords, tokens and keys are masked, hashed or left out. A stream's source or a handler's secret that is sent back masked stays as it was. The text of a token or a stream key is in the answer that makes it, and in no other.
`;
