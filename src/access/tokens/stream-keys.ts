import { randomBytes } from "node:crypto";
import { type StreamName, streamName } from "../../base/stream-name.ts";
import type { StreamKeys } from "./verifier.ts";

/** The setting `streamkeys`: what is pushed to, and the stream that it stands for. */
export type StreamKeyTable = Readonly<Record<string, string>>;

export interface OwnedStreamKeys extends StreamKeys {
  /** Takes the setting `streamkeys` in place of the one before. */
  configure(table: StreamKeyTable): void;
}

/** Finds the streams of stream keys. A key is compared as it was sent: upper and lower case differ. */
export function createStreamKeys(table: StreamKeyTable): OwnedStreamKeys {
  let current = new Map(Object.entries(table));
  const listeners = new Set<() => void>();
  return {
    streamOf(key: string): StreamName | undefined {
      const stream = current.get(key);
      return stream === undefined ? undefined : streamName(stream) || undefined;
    },
    configure(next) {
      current = new Map(Object.entries(next));
      for (const run of [...listeners]) run();
    },
    onChange(run) {
      const own = (): void => run();
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
  };
}

/** Letters and digits that survive every URL, form and shell, without those that look alike; their number divides 256. */
const alphabet = "abcdefghijkmnpqrstuvwxyz23456789";

/** A new key of 24 letters and digits: 120 random bits. */
export function generateStreamKey(): string {
  return Array.from(randomBytes(24), (byte) => alphabet[byte & 31]).join("");
}
