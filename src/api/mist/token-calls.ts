import { readKey } from "../../access/tokens/jwk.ts";
import { type FlatEntry, flattenEntries } from "../../access/tokens/key-entry.ts";
import { permissionsOf } from "../../access/tokens/permissions.ts";
import {
  sameKey,
  sameMaterial,
  type ShownEntry,
  shownEntry,
  shownJwk,
  storedEntry,
  tidyEntries,
  withSecret,
} from "../../access/tokens/shown-keys.ts";
import { messageOf } from "../../base/errors.ts";
import { jwksSchema, problemOfStreamKey } from "../../config/token-settings.ts";
import { type Call, type CallContext, complain, isObject, type Reply } from "./call.ts";

/** `jwks` (lists or replaces), `deletejwks`, `addjwks`: the keys of JWTs. Secrets are masked in answers, private parts are not kept. */
export const jwksCalls: readonly Call[] = [
  {
    name: "jwks",
    async run(value, context, reply) {
      const replaces = Array.isArray(value) || flattenEntries(value).length > 0;
      if (!replaces) {
        reply["jwks"] = current(context).map(shownEntry);
        return;
      }
      reply["jwks"] = await change(context, (keys) => add([], usable(value, keys, context, reply)));
    },
  },
  {
    name: "deletejwks",
    async run(value, context, reply) {
      const wanted = (Array.isArray(value) && !isPair(value) ? value : [value]).flatMap(wantedKey);
      const gone: unknown[] = [];
      await change(context, (keys) => {
        let left = keys;
        for (const one of wanted) {
          const found = left.find((entry) => sameKey(entry, one));
          if (!found) continue;
          left = left.filter((entry) => entry !== found);
          gone.push(typeof one.jwk === "string" ? one.jwk : withoutEmptyType(shownJwk(one.jwk)));
        }
        return { keys: left, changed: [] };
      });
      reply["deletejwks"] = gone;
    },
  },
  {
    name: "addjwks",
    async run(value, context, reply) {
      reply["addjwks"] = await change(context, (keys) => add(keys, usable(value, keys, context, reply)));
    },
  },
];

type Changed = { readonly keys: readonly FlatEntry[]; readonly changed: readonly FlatEntry[] };

function current({ parts }: CallContext): readonly FlatEntry[] {
  return tidyEntries(parts.configuration.settings.jwks);
}

/** Gives what was added, as it is shown. */
async function change({ parts }: CallContext, update: (keys: readonly FlatEntry[]) => Changed): Promise<readonly ShownEntry[]> {
  let added: readonly ShownEntry[] = [];
  await parts.configuration.change((settings) => {
    const { keys, changed } = update(tidyEntries(settings.jwks));
    added = changed.map(shownEntry);
    return { jwks: keys.map(storedEntry) };
  });
  parts.log.write("CONF", "Keys of tokens changed through the API");
  return added;
}

/** A key takes the place of one with its `kid`, or with the same material. */
function add(keys: readonly FlatEntry[], fresh: readonly FlatEntry[]): Changed {
  let all = keys;
  for (const entry of fresh) all = [...all.filter((old) => !sameKey(old, entry) && !sameValue(old, entry)), entry];
  return { keys: all, changed: fresh.filter((entry) => all.includes(entry)) };
}

function sameValue({ jwk: left }: FlatEntry, { jwk: right }: FlatEntry): boolean {
  return typeof left !== "string" && typeof right !== "string" && sameMaterial(left, right);
}

/** The entries of a request that can be used; of the others the answer says what is wrong. */
function usable(value: unknown, known: readonly FlatEntry[], context: CallContext, reply: Reply): readonly FlatEntry[] {
  const given = isPair(value) ? [value] : value;
  const entries = tidyEntries(given);
  if (entries.length === 0 && !(Array.isArray(value) && value.length === 0))
    complain(context, reply, "jwks: there is no key in what was sent");
  return entries.flatMap((entry, index) => {
    try {
      const whole = withSecret(entry, known);
      const read = jwksSchema.safeParse([storedEntry(whole)]);
      if (!read.success) throw new Error(`it must be ${read.error.issues[0]?.message}`);
      if (typeof whole.jwk !== "string") readKey(whole.jwk, permissionsOf(whole.permissions));
      return [whole];
    } catch (error) {
      complain(context, reply, `jwks: key ${index + 1} is left out: ${messageOf(error)}`);
      return [];
    }
  });
}

/** True for `[jwk, permissions]`, which is one entry and not a list of them. */
function isPair(value: unknown): value is readonly unknown[] {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const second: unknown = value[1];
  return isObject(second) && Object.keys(second).every((name) => ["input", "output", "admin", "stream"].includes(name));
}

/** A key id, an address, a JWK (its `kid` is enough), or one of these with permissions. */
function wantedKey(value: unknown): readonly Pick<FlatEntry, "jwk">[] {
  const one: unknown = Array.isArray(value) ? value[0] : value;
  if (typeof one === "string") return [{ jwk: one.includes("://") ? one : { kty: "", kid: one } }];
  if (!isObject(one)) return [];
  return [{ jwk: { ...one, kty: typeof one["kty"] === "string" ? one["kty"] : "" } }];
}

/** MistServer repeats what was asked for: of a bare key id that is `{ "kid": ... }`. */
function withoutEmptyType({ kty, ...rest }: ReturnType<typeof shownJwk>): Readonly<Record<string, unknown>> {
  return kty === "" ? rest : { kty, ...rest };
}

/** `streamkeys` (lists or replaces), `streamkey_del`, `streamkey_add`: secret names to push to. */
export const streamKeyCalls: readonly Call[] = [
  {
    name: "streamkeys",
    async run(value, context, reply) {
      if (isObject(value)) {
        const good = goodPairs(value, (text) => complain(context, reply, text));
        await context.parts.configuration.change(() => ({ streamkeys: Object.fromEntries(good) }));
        context.parts.log.write("CONF", "All stream keys were replaced through the API");
      }
      reply["streamkeys"] = context.parts.configuration.settings.streamkeys;
    },
  },
  {
    name: "streamkey_del",
    async run(value, { parts }, reply) {
      const texts = typeof value === "string" ? [value] : value;
      if (!Array.isArray(texts) && !isObject(texts)) {
        reply["streamkey_del"] = { deleted: [], error: "streamkey_del must be a string, object or array" };
        return;
      }
      const deleted: string[] = [];
      await parts.configuration.change(({ streamkeys }) => {
        const left = new Map(Object.entries(streamkeys));
        const fits = (key: string): boolean => left.has(key) && (Array.isArray(texts) || left.get(key) === texts[key]);
        const names = Array.isArray(texts) ? texts.filter((key) => typeof key === "string") : Object.keys(texts);
        for (const key of names) {
          if (!fits(key)) continue;
          left.delete(key);
          deleted.push(key);
        }
        return { streamkeys: Object.fromEntries(left) };
      });
      parts.log.write("CONF", `${deleted.length} stream keys were taken away through the API`);
      reply["streamkey_del"] = { deleted };
      listAgain(parts, reply);
    },
  },
  {
    name: "streamkey_add",
    async run(value, { parts }, reply) {
      if (!isObject(value)) {
        reply["streamkey_add"] = { added: [], error: "streamkey_add must be an object" };
        return;
      }
      const wrong: string[] = [];
      const good = goodPairs(value, (text) => wrong.push(text));
      let added: readonly string[] = [];
      await parts.configuration.change(({ streamkeys }) => {
        const all = new Map(Object.entries(streamkeys));
        added = good.filter(([key, stream]) => all.get(key) !== stream).map(([key]) => key);
        for (const [key, stream] of good) all.set(key, stream);
        return { streamkeys: Object.fromEntries(all) };
      });
      parts.log.write("CONF", `${added.length} stream keys were added through the API`);
      reply["streamkey_add"] = { added, ...(wrong.length > 0 && { error: wrong.join("\n") }) };
      listAgain(parts, reply);
    },
  },
];

/** As in MistServer, who asks for the keys in the same request sees what has become of them. */
function listAgain({ configuration }: CallContext["parts"], reply: Reply): void {
  if ("streamkeys" in reply) reply["streamkeys"] = configuration.settings.streamkeys;
}

/** Those that may be kept. `tell` gets what is wrong with each other, without the key itself. */
function goodPairs(value: Readonly<Record<string, unknown>>, tell: (text: string) => void): readonly (readonly [string, string])[] {
  return Object.entries(value).flatMap(([key, stream], index) => {
    const wrong = problemOfStreamKey(key, stream);
    if (wrong === undefined) return [[key, stream as string] as const];
    tell(`stream key ${index + 1} is left out: ${wrong}`);
    return [];
  });
}
