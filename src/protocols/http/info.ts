import { isSluiceError, messageOf } from "../../base/errors.ts";
import { refusalHeaders } from "../../base/refusal-headers.ts";
import { type Host, type HttpExchange, httpAccess } from "../protocol.ts";
import { offlineInfo, refusedInfo, streamInfo } from "./stream-info.ts";

/** How the information is asked for: `json_NAME.js`, or `info_NAME.js` for pages that load it as a script. */
export type InfoForm = "json" | "script";

type Answer = { readonly status: number; readonly body: object; readonly headers?: Readonly<Record<string, string>> };

/** Answers with the stream information. The gate is asked as for every output: who may not watch learns the reason and no more. */
export async function answerInfo(host: Host, exchange: HttpExchange, name: string, form: InfoForm): Promise<void> {
  if (exchange.method !== "GET" && exchange.method !== "HEAD") {
    return exchange.reply(405, { Allow: "GET, HEAD, OPTIONS", "Content-Type": "text/plain" }, "stream information is only read: use GET\n");
  }
  const { status, body, headers: more } = await ask(host, exchange, name);
  const text = scriptSafe(JSON.stringify(body));
  const script = `if (!window.mistvideo) window.mistvideo = {};\nmistvideo[${scriptSafe(JSON.stringify(name))}] = ${text};\n`;
  const bytes = Buffer.from(form === "json" ? text : script);
  const headers = {
    "Content-Type": form === "json" ? "application/json" : "application/javascript",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...more,
  };
  exchange.reply(status, headers, bytes);
}

async function ask(host: Host, exchange: HttpExchange, name: string): Promise<Answer> {
  try {
    using admission = await host.play(httpAccess(exchange, "HTTP", name, true));
    const { cookie, value: stream } = admission;
    const body =
      stream.state === "ready"
        ? streamInfo(exchange, admission, host.watchAddresses())
        : offlineInfo(stream.state, { token: admission.urlToken });
    admission.count(JSON.stringify(body).length, 0);
    return { status: 200, body, headers: cookie === undefined ? {} : { "Set-Cookie": cookie } };
  } catch (error) {
    if (isSluiceError(error, "access.denied") || isSluiceError(error, "access.ended") || isSluiceError(error, "access.full"))
      return { status: error.status, body: refusedInfo(messageOf(error), error), headers: refusalHeaders(error) };
    if (isSluiceError(error, "access.offline") || isSluiceError(error, "access.unknown") || isSluiceError(error, "source.failed")) {
      return { status: 200, body: offlineInfo("offline", { guru: messageOf(error) }) };
    }
    throw error;
  }
}

/** JSON that is JavaScript too, wherever it is put: in old engines the two line separators, in HTML an end of script. */
function scriptSafe(json: string): string {
  return json.replace(/[\u2028\u2029<]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
