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

async function answer(receive: (request: Request) => Promise<Response>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const answered = await receive(requestOf(request));
    const body = Buffer.from(await answered.arrayBuffer());
    response.writeHead(answered.status, Object.fromEntries(answered.headers));
    response.end(body);
  } catch (error) {
    const { body, headers } = failedText(undefined, `the call could not be read: ${messageOf(error)}`);
    if (!response.headersSent) response.writeHead(200, { ...headers, "Content-Length": "0" });
    response.end(body);
  } finally {
    // What is left of a call that was not read to its end; a connection that is closed too early would lose the answer.
    request.resume();
  }
}

function requestOf(request: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(request.headersDistinct)) for (const value of values ?? []) headers.append(name, value);
  const { method = "GET", url = "/" } = request;
  // Express takes the path of a router off `url`.
  const path = "originalUrl" in request && typeof request.originalUrl === "string" ? request.originalUrl : url;
  const target = new URL(`http://receiver${path.startsWith("/") ? path : `/${path}`}`);
  const withBody = method !== "GET" && method !== "HEAD";
  return new Request(target, { method, headers, ...(withBody && { body: bodyOf(request), duplex: "half" }) });
}

/** The body as a web stream. Whoever stops reading does not close the connection: the answer still has to go out. */
function bodyOf(request: IncomingMessage): ReadableStream<Uint8Array> {
  let over = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      request.on("data", (chunk: Buffer) => {
        if (over) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) request.pause();
      });
      request.once("end", () => {
        if (!over) controller.close();
        over = true;
      });
      const lost = (): void => {
        if (!over) controller.error(new Error("the connection was lost"));
        over = true;
      };
      request.once("error", lost);
      request.once("close", lost);
      request.pause();
    },
    pull: () => void request.resume(),
    cancel() {
      over = true;
      request.resume();
    },
  });
}
