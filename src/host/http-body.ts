import type { IncomingMessage } from "node:http";
import { SluiceError } from "../base/errors.ts";

/**
 * The whole body of a request. Rejects with "input.oversized" above `most` bytes, and with "access.ended" when the client goes
 * before it has sent all; the server's own time limit for a request ends one that is too slow.
 */
export async function readBody(request: IncomingMessage, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of request) {
      const bytes = part as Uint8Array;
      length += bytes.length;
      if (length > most) throw new SluiceError("input.oversized", `the request's body is longer than ${most} bytes`);
      parts.push(bytes);
    }
  } catch (error) {
    throw error instanceof SluiceError ? error : new SluiceError("access.ended", "the client has gone", { cause: error });
  }
  return Buffer.concat(parts);
}
