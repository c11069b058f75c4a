import { createServer, type IncomingHttpHeaders } from "node:http";

/** One call that a handler got. */
export type TriggerCall = {
  readonly name: string;
  /** Path and query of the handler's URL: tells several handlers apart. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
  readonly at: number;
};

/** An HTTP handler in MistServer's form: records every call and answers what `answer` says. */
export interface TriggerServer extends AsyncDisposable {
  readonly url: string;
  readonly calls: readonly TriggerCall[];
  of(name: string): readonly TriggerCall[];
  /** Resolves with the first call (recorded or to come) that fits. */
  called(name: string, fits?: (call: TriggerCall) => boolean, timeoutMs?: number): Promise<TriggerCall>;
}

/** `answer` gives the body, or a status with a body; it may take its time. */
export async function startTriggerServer(
  answer: (call: TriggerCall) => string | { status: number; body: string } | Promise<string | { status: number; body: string }>,
): Promise<TriggerServer> {
  const calls: TriggerCall[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const call: TriggerCall = {
        name: String(request.headers["x-trigger"]),
        path: request.url ?? "",
        lines: body.split("\n"),
        body,
        headers: request.headers,
        at: performance.now(),
      };
      calls.push(call);
      for (const look of waiting) look();
      const said = await answer(call);
      const { status, body: text } = typeof said === "string" ? { status: 200, body: said } : said;
      response.writeHead(status, { "Content-Type": "text/plain" });
      response.end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/`,
    calls,
    of: (name) => calls.filter((call) => call.name === name),
    called: (name, fits = () => true, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const settle = (finish: () => void): void => {
          waiting.delete(look);
          clearTimeout(timer);
          finish();
        };
        const look = (): void => {
          const call = calls.find((one) => one.name === name && fits(one));
          if (call) settle(() => resolve(call));
        };
        const timer = setTimeout(
          () =>
            settle(() =>
              reject(new Error(`${name} was not called within ${timeoutMs} ms; called were: ${calls.map((one) => one.name).join(", ")}`)),
            ),
          timeoutMs,
        );
        waiting.add(look);
        look();
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
