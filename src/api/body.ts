import type { IncomingMessage } from "node:http";
import { SluiceError } from "../base/errors.ts";

/**
 * Reads a request's body as UTF-8; undefined when it is longer than `mostBytes`, whatever it declared. What is left of such a body
 * stays unread: close the connection after the answer. Rejects with "input.invalid" when the client goes away before the end.
 */
export function readBody(incoming: IncomingMessage, mostBytes: number): Promise<string | undefined> {
  if (Number(incoming.headers["content-length"] ?? 0) > mostBytes) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= mostBytes) {
        chunks.push(chunk);
        return;
      }
      incoming.off("data", onData);
      incoming.pause();
      resolve(undefined);
    };
    incoming.on("data", onData);
    incoming.once("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    const gone = (): void => reject(new SluiceError("input.invalid", "the client went away before the end of its command"));
    incoming.once("error", gone);
    incoming.once("close", gone);
  });
}
