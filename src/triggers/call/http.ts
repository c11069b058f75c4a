import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { HandlerFailure, type Reply } from "../answer.ts";
import { createHttpAgents, type HttpAgents } from "./http-agents.ts";
import { authorization } from "./http-login.ts";
import { post } from "./http-post.ts";

/** Headers and body of one attempt. */
export type HttpMessage = { readonly headers: Readonly<Record<string, string>>; readonly body: string };

type HttpCall = {
  readonly url: string;
  /** Certificates (PEM) that are trusted beside the usual ones. */
  readonly ca?: string | undefined;
  /** What the attempt with this number, 1 to 5, sends; `Host` is added. */
  readonly message: (attempt: number) => HttpMessage;
  /** False: the answer is read to its end and dropped, of whatever length. */
  readonly wantsAnswer: boolean;
  /** Attempts when the connection fails; 5 if left out. */
  readonly attempts?: number;
  /** Aborted when the time is over; its reason says so. */
  readonly signal: AbortSignal;
};

/** Calls HTTP handlers over connections that are kept. Dispose ends the connections. */
export interface HttpCaller extends AsyncDisposable {
  /**
   * Posts and gives the answer of status 200 to 299. A redirect repeats the POST, up to 6 times. A connection that fails
   * is tried up to 5 times; a handler that is late has seen the question and is not asked again. Everything else rejects,
   * with the signal's reason, a `HandlerFailure` or the connection's error.
   */
  call(call: HttpCall): Promise<Reply>;
}

const maxAttempts = 5;
const maxRedirects = 6;
const maxAnswer = 1 << 20;

/** Makes a caller with its own connections. */
export function createHttpCaller(agents: HttpAgents = createHttpAgents()): HttpCaller {
  return {
    async call(call) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await exchange(agents.for(call.ca), call, attempt);
        } catch (error) {
          if (call.signal.aborted) throw call.signal.reason;
          if (error instanceof HandlerFailure || attempt >= (call.attempts ?? maxAttempts)) throw error;
        }
        await pause(50 * attempt, undefined, { signal: call.signal, ref: false }).catch(() => undefined);
        if (call.signal.aborted) throw call.signal.reason;
      }
    },
    [Symbol.asyncDispose]: () => agents[Symbol.asyncDispose](),
  };
}

/** One attempt, with its redirects and, for a URL with user and password, one log-in. */
async function exchange(agent: Dispatcher, call: HttpCall, attempt: number): Promise<Reply> {
  let url = new URL(call.url);
  const extra: Record<string, string> = {};
  const message = call.message(attempt);
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const { status, headers, text } = await post(agent, {
      url,
      headers: { ...message.headers, ...extra },
      body: message.body,
      most: maxAnswer,
      tooLong,
      wanted: call.wantsAnswer,
      signal: call.signal,
    });
    if (status >= 200 && status <= 299) return replyOf(headers, text);
    const cookie = [headers["set-cookie"] ?? []].flat().at(-1)?.split(";")[0];
    if (cookie) extra.Cookie = cookie;
    const challenge = [headers["www-authenticate"] ?? []].flat();
    const login = status === 401 && !extra.Authorization ? authorization(url, challenge, "POST") : undefined;
    const location = [headers.location ?? []].flat()[0];
    if (status >= 300 && status <= 399 && location !== undefined) {
      url = redirected(url, location, extra);
    } else if (login !== undefined) {
      extra.Authorization = login;
    } else {
      throw new HandlerFailure(`it answered with status ${status}, which is no answer: a no is status 200 with the text "false"`, {
        sort: "status",
      });
    }
  }
  throw new HandlerFailure(`it redirected more than ${maxRedirects} times`, { sort: "status" });
}

function replyOf(headers: IncomingHttpHeaders, text: string): Reply {
  const action = [headers["x-mist-trigger-action"] ?? []].flat()[0];
  const reason = [headers["x-mist-trigger-reason"] ?? []].flat()[0];
  return { text, ...(action !== undefined && { action }), ...(reason !== undefined && { reason }) };
}

/** The next URL. What was meant for one host is not shown to another. */
function redirected(from: URL, location: string, extra: Record<string, string>): URL {
  if (!URL.canParse(location, from.href)) throw new HandlerFailure("it redirected to something that is no URL", { sort: "status" });
  const url = new URL(location, from);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new HandlerFailure(`it redirected to ${url.protocol}`, { sort: "status" });
  if (url.origin !== from.origin) for (const name of Object.keys(extra)) delete extra[name];
  return url;
}

function tooLong(): HandlerFailure {
  return new HandlerFailure(`its answer is longer than ${maxAnswer} bytes`);
}
