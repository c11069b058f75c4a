import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";

/** An answer, read to its end. */
export type HttpAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string };

export type HttpPost = {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Most bytes of the body that are kept and waited for; a longer answer ends the connection and rejects with `tooLong`. */
  readonly most: number;
  readonly tooLong: () => Error;
  /** False: the body is read to its end, of whatever length, and dropped. */
  readonly wanted: boolean;
  readonly signal: AbortSignal;
};

/**
 * Posts, below undici's streams: an answer is a few bytes, and a stream for each call costs more than the call. Rejects with the
 * signal's reason or the connection's error.
 */
export function post(dispatcher: Dispatcher, { url, headers, body, most, tooLong, wanted, signal }: HttpPost): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    let controller: Dispatcher.DispatchController | undefined;
    let status = 0;
    let answered: IncomingHttpHeaders = {};
    let chunks: Buffer[] | undefined;
    let length = 0;
    const end = (error: unknown): void => {
      signal.removeEventListener("abort", onAbort);
      reject(error as Error);
      controller?.abort(error as Error);
    };
    const onAbort = (): void => end(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    dispatcher.dispatch(
      { origin: url.origin, path: `${url.pathname}${url.search}`, method: "POST", headers: headers as Record<string, string>, body },
      {
        onRequestStart(started) {
          controller = started;
          // It waited for a connection until nobody wanted it any more.
          if (signal.aborted) started.abort(signal.reason as Error);
        },
        onResponseStart(_, statusCode, received) {
          if (statusCode < 200) return;
          status = statusCode;
          answered = received;
        },
        onResponseData(_, chunk) {
          if (!wanted) return;
          length += chunk.length;
          if (length > most) return end(tooLong());
          if (chunks) chunks.push(chunk);
          else chunks = [chunk];
        },
        onResponseEnd() {
          signal.removeEventListener("abort", onAbort);
          const text = chunks === undefined ? "" : (chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)).toString("utf8");
          resolve({ status, headers: answered, text });
        },
        onResponseError: (_, error) => end(error),
      },
    );
  });
}
