import type { ExitReason } from "../../base/exit.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Payload } from "../../triggers/table.ts";

/** INPUT_ABORT's payload: the input is called as MistServer's program for it is, the process is ours. `source` without passwords. */
export function inputAbort(stream: StreamName, source: string, input: string, { code, text }: ExitReason): Payload<"INPUT_ABORT"> {
  return { stream, source, binary: `MistIn${input}`, pid: process.pid, code, reason: text };
}
