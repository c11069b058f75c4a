import type { Protocol } from "./protocols/protocol.ts";

/** THE registry: one line for each protocol. */
export const protocols: readonly Protocol[] = [];
