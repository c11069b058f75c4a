import type { Clock } from "../../base/time.ts";
import type { HttpMessage } from "./http.ts";
import type { CallOptions } from "./http-options.ts";
import { signatureHeaders } from "./signature.ts";
import { type RequestDetails, type TriggerDefinition, triggers } from "../table.ts";
import { type Raise, requestHeaders, type ServerIdentity } from "../wire.ts";

type Fields = Readonly<Record<string, unknown>>;

/** 64 bits of ones: no such value. */
const none64 = 2 ** 64;

/**
 * The body of a call in the JSON form. `payload` has the trigger's fields by name, with their types: numbers are numbers, a
 * value that there is not is null, an absent one is left out. `request` is the client's request, for triggers that have one.
 */
function jsonBody(raise: Raise, payload: Fields, server: ServerIdentity, attempt: number): string {
  return JSON.stringify({
    id: raise.uuid,
    trigger: raise.name,
    time: new Date(raise.unixMillis).toISOString(),
    attempt: raise.delivery?.attempt ?? attempt,
    ...(raise.delivery?.sequence !== undefined && { sequence: raise.delivery.sequence }),
    server: { name: server.serverId(), version: server.version, instance: server.instance, pid: server.pid },
    payload: payloadOf(triggers[raise.name], payload),
    ...requestOf(triggers[raise.name], payload),
  });
}

/**
 * What one attempt sends, in the entry's form. The JSON form has the text form's headers, so that one server can take both,
 * and those that sign this very body, with the time of the attempt: a handler may refuse what is older than some minutes.
 */
export function httpMessage(
  call: CallOptions,
  { raise: written, payload }: { readonly raise: () => Raise; readonly payload: Fields },
  { server, clock }: { readonly server: ServerIdentity; readonly clock: Clock },
  attempt: number,
): HttpMessage {
  const raise = written();
  if (call.format === "text") return { headers: requestHeaders(raise, server, attempt), body: raise.body };
  const body = jsonBody(raise, payload, server, attempt);
  return {
    headers: {
      ...requestHeaders({ ...raise, body }, server, attempt),
      Accept: "application/json",
      "Content-Type": "application/json",
      ...signatureHeaders(raise.uuid, clock.now(), body, call.secrets),
    },
    body,
  };
}

function payloadOf(definition: TriggerDefinition, payload: Fields): Fields {
  const values: Record<string, unknown> = {};
  for (const [field, kind] of Object.entries(definition.fields)) {
    const value = payload[field];
    if (value === undefined && definition.optional?.includes(field)) continue;
    if (kind === "integer") values[field] = Number(value) >= none64 ? null : Math.trunc(Number(value)) || 0;
    else values[field] = value ?? (kind === "text" ? "" : null);
  }
  return values;
}

function requestOf(definition: TriggerDefinition, payload: Fields): { readonly request?: Fields } {
  if (!definition.request) return {};
  const { asked, recheck, connector, query, headers, cookies, tls } = payload as Partial<RequestDetails>;
  const url = typeof payload.url === "string" && payload.url !== "" ? payload.url : undefined;
  return {
    request: {
      asked: asked ?? "",
      recheck: recheck ?? false,
      address: payload.host ?? null,
      protocol: payload.protocol ?? connector ?? null,
      url: url ?? null,
      scheme: url?.match(/^([a-z][a-z0-9+.-]*):/i)?.[1] ?? null,
      tls: tlsOf(tls, url),
      query: query ?? {},
      headers: headers ?? {},
      cookies: cookies ?? {},
      userAgent: headers?.["user-agent"] ?? null,
      referer: headers?.["referer"] ?? null,
      origin: headers?.["origin"] ?? null,
    },
  };
}

/** Null without TLS. Where a proxy in front of us has the client's TLS, all that is known may be that there is one. */
function tlsOf(tls: RequestDetails["tls"], url: string | undefined): Fields | null {
  if (!tls && !/^(?:https|wss|rtmps|srts|rtsps):/i.test(url ?? "")) return null;
  const { protocol, cipher, servername, alpn } = tls ?? {};
  return { protocol: protocol || null, cipher: cipher || null, servername: servername ?? null, alpn: alpn ?? null };
}
