import { messageOf, SluiceError } from "../base/errors.ts";

/** The REST API of a server that runs, at `/api/v1`. */
export interface ApiClient {
  get(path: string, query?: Readonly<Record<string, string | undefined>>): Promise<unknown>;
  post(path: string, body: unknown): Promise<unknown>;
  put(path: string, body: unknown): Promise<unknown>;
  delete(path: string): Promise<void>;
  /** Data of server-sent events of the given name, until the server or the signal ends it. */
  events(path: string, query: Readonly<Record<string, string | undefined>>, name: string, signal?: AbortSignal): AsyncIterable<unknown>;
}

export type ApiClientOptions = {
  /** `http://HOST:4242`. */
  readonly url: string;
  /** `NAME:PASSWORD`; on the server's own machine none is needed. */
  readonly account?: string | undefined;
  /** A bearer token of the API; it goes before the account. */
  readonly token?: string | undefined;
};

/** Makes a client. Its calls reject with what the server said, or why it could not be reached. */
export function createApiClient({ url, account, token }: ApiClientOptions): ApiClient {
  if (!URL.canParse(url)) throw new SluiceError("config.invalid", `--api ${url}: that is no URL; write one such as http://127.0.0.1:4242`);
  const basic = account ? `Basic ${Buffer.from(account).toString("base64")}` : undefined;
  const authorization = token ? `Bearer ${token}` : basic;
  const headers: Readonly<Record<string, string>> = authorization === undefined ? {} : { authorization };
  const call = async (
    path: string,
    init: RequestInit & { query?: Readonly<Record<string, string | undefined>> } = {},
  ): Promise<Response> => {
    const target = new URL(`/api/v1${path}`, url);
    for (const [key, value] of Object.entries(init.query ?? {})) if (value !== undefined) target.searchParams.set(key, value);
    let response: Response;
    try {
      response = await fetch(target, { ...init, headers: { ...headers, ...(init.headers as Record<string, string> | undefined) } });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
      throw new SluiceError("source.failed", `${target.origin} cannot be reached: ${cause}; is the server running, and is --api right?`, {
        cause: error,
      });
    }
    if (response.ok) return response;
    const answer = (await response.json().catch(() => ({}))) as { readonly error?: string };
    const hint = response.status === 401 ? " (SLUICE_TOKEN=..., or SLUICE_ACCOUNT=NAME:PASSWORD)" : "";
    throw new SluiceError("input.invalid", `${answer.error ?? `the server answered with status ${response.status}`}${hint}`);
  };
  return {
    get: async (path, query = {}) => await jsonOf(await call(path, { query })),
    post: async (path, body) => await jsonOf(await call(path, { method: "POST", ...jsonBody(body) })),
    put: async (path, body) => await jsonOf(await call(path, { method: "PUT", ...jsonBody(body) })),
    async delete(path) {
      await call(path, { method: "DELETE" });
    },
    async *events(path, query, name, signal) {
      const response = await call(path, { query, ...(signal && { signal }) });
      let text = "";
      try {
        for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
          text += chunk;
          const events = text.split("\n\n");
          text = events.pop() ?? "";
          for (const event of events) {
            const fields = new Map(
              event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
            );
            if (fields.get("event") === name) yield JSON.parse(fields.get("data") ?? "null");
          }
        }
      } catch (error) {
        if (!signal?.aborted) throw error;
      }
    },
  };
}

function jsonBody(body: unknown): Pick<RequestInit, "headers" | "body"> {
  return { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

async function jsonOf(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    throw new SluiceError("input.invalid", `${new URL(response.url).origin} is no API of Sluice: its answer is no JSON; is --api right?`, {
      cause: error,
    });
  }
}
