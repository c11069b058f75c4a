import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { accountScopes } from "../../config/account.ts";
import { accountOf, changeAccount, createAccount, removeAccount, viewOf } from "../auth/accounts.ts";
import type { ApiParts } from "../parts.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const tag = "accounts";
const nameWords = "a name of 1 to 100 characters without colons and control characters";
const name = z.string(nameWords).regex(/^[^:\p{Cc}]{1,100}$/u, nameWords);
const byName = z.strictObject({ name });
const passwordWords = "a password of 8 to 1000 characters";
const password = z.string(passwordWords).min(8, passwordWords).max(1000, passwordWords);
const scopeWords = `one of ${accountScopes.join(", ")}`;
const scope = z.enum(accountScopes, scopeWords);
const mistCompatible = z.boolean("true or false").meta({
  description:
    "It can log in by MistServer's `authorize`. That needs the MD5 of the password, which is easily broken by who steals it: so it is kept only then.",
});
const account = z.object({ name: z.string(), scope, mistCompatible }).meta({ id: "Account" });
const example = { name: "site", scope: "operate", mistCompatible: false };

/** `/accounts`: names and passwords for the API. Passwords are kept as scrypt, and shown by no call. */
export function accountRoutes({ configuration, log }: Pick<ApiParts, "configuration" | "log">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/accounts",
      operationId: "listAccounts",
      summary: "Accounts, by name",
      tag,
      scope: "admin",
      query: z.strictObject(pageQuery),
      response: pageSchema(account),
      example: { items: [example] },
      run({ query }) {
        const all = Object.entries(configuration.settings.account).map(([one, stored]) => viewOf(one, stored));
        return { body: pageOf(all, query, (one) => [one.name]) };
      },
    }),
    route({
      method: "post",
      path: "/accounts",
      operationId: "createAccount",
      summary: "Make an account",
      tag,
      scope: "admin",
      status: 201,
      body: z
        .strictObject({ name, password, scope: scope.default("admin"), mistCompatible: mistCompatible.default(false) })
        .meta({ id: "NewAccount" }),
      bodyExample: { name: "site", password: "correct horse battery staple", scope: "operate" },
      response: account,
      example,
      async run({ body }) {
        const made = await createAccount(configuration, body);
        log.write("AUTH", `An account with the scope ${made.scope} was made through the API`);
        return { body: made, headers: { location: `/api/v1/accounts/${encodeURIComponent(made.name)}` } };
      },
    }),
    route({
      method: "get",
      path: "/accounts/{name}",
      operationId: "getAccount",
      summary: "One account",
      tag,
      scope: "admin",
      params: byName,
      response: account,
      example,
      run({ params }) {
        const stored = accountOf(configuration.settings, params.name);
        if (!stored) throw new SluiceError("api.unknown", `There is no account ${JSON.stringify(params.name)}`);
        // A new password changes the tag, too; the tag is a hash of what is kept, and tells nothing of it.
        return { body: viewOf(params.name, stored), guarded: stored };
      },
    }),
    route({
      method: "put",
      path: "/accounts/{name}",
      operationId: "changeAccount",
      summary: "Change an account; what is left out stays",
      tag,
      scope: "admin",
      params: byName,
      body: z
        .strictObject({ password: password.optional(), scope: scope.optional(), mistCompatible: mistCompatible.optional() })
        .meta({ id: "AccountChange" }),
      bodyExample: { scope: "read" },
      response: account,
      example,
      async run({ params, body }) {
        const changed = await changeAccount(configuration, params.name, body);
        log.write("AUTH", "An account was changed through the API");
        return { body: changed };
      },
    }),
    route({
      method: "delete",
      path: "/accounts/{name}",
      operationId: "removeAccount",
      summary: "Remove an account; its logins are over at once",
      tag,
      scope: "admin",
      params: byName,
      async run({ params }) {
        await removeAccount(configuration, params.name);
        log.write("AUTH", "An account was removed through the API");
        return {};
      },
    }),
  ];
}
