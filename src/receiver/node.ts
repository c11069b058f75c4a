import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf } from "../base/errors.ts";
import { failedText } from "./answer.ts";

/**
 * A receiver as a listener of node:http, and so of Express and Fastify: `createServer(nodeListener(receive))`. Nothing may have read the
 * body before it. It answers with status 200 whatever happens, as a MistServer takes every other one for a failure, and that for a yes.
 */
export function nodeListener(
  receive: (request: Request) => Promise<Response>,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => void answer(receive, request, response);
}

/** Milliseconds that the rest of a call that nobody reads may take. */
const restMs = 5000;

async function answer(receive: (request: Request) => Promise<Response>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = bodyOf(request);
  try {
    const answered = await receive(requestOf(request, body.stream));
    const bytes = Buffer.from(await answered.arrayBuffer());
    await body.drained();
    if (!request.complete) response.setHeader("Connection", "close");
    response.writeHead(answered.status, Object.fromEntries(answered.headers));
    response.end(bytes);
  } catch (error) {
    const { body: text, headers } = failedText(undefined, `the call could not be read: ${messageOf(error)}`);
    await body.drained();
    if (!response.headersSent) response.writeHead(200, { ...headers, "Content-Length": "0" });
    response.end(text);
  }
}

function requestOf(request: IncomingMessage, body: ReadableStream<Uint8Array>): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(request.headersDistinct)) for (const value of values ?? []) headers.append(name, value);
  const { method = "GET", url = "/" } = request;
  // Express takes the path of a router off `url`.
  const path = "originalUrl" in request && typeof request.originalUrl === "string" ? request.originalUrl : url;
  const target = new URL(`http://receiver${path.startsWith("/") ? path : `/${path}`}`);
  const withBody = method !== "GET" && method !== "HEAD";
  return new Request(target, { method, headers, ...(withBody && { body, duplex: "half" }) });
}

/**
 * The body as a web stream. `drained` throws away what nobody has read, and resolves when the call has come to its end: who answers before
 * that closes the connection on a sender that still sends, and it does not see the answer.
 */
function bodyOf(request: IncomingMessage): { readonly stream: ReadableStream<Uint8Array>; drained(): Promise<void> } {
  /** Nobody wants what comes. */
  let over = false;
  const ended = new Promise<void>((resolve) => {
    if (request.readableEnded || request.destroyed) return resolve();
    for (const event of ["end", "close", "error"]) request.once(event, () => resolve());
  });
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      request.on("data", (chunk: Buffer) => {
        if (over) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) request.pause();
      });
      request.pause();
      void ended.then(() => {
        if (over) return;
        over = true;
        if (request.complete) controller.close();
        else controller.error(new Error("the connection was lost"));
      });
    },
    pull: () => void request.resume(),
    cancel() {
      over = true;
    },
  });
  return {
    stream,
    async drained() {
      over = true;
      request.resume();
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, restMs);
      await Promise.race([ended, late.promise]);
      clearTimeout(timer);
    },
  };
}
