import type { ExitReason } from "../../src/base/exit.ts";
import type { Admission } from "../../src/protocols/protocol.ts";

/** A yes as the gate gives it, and what became of it. */
export type TestAdmission<T> = {
  readonly admission: Admission<T>;
  /** Ends it as the server does when the viewer may not go on. */
  readonly withdraw: (reason: Error) => void;
  readonly bytes: () => number;
  /** The last media time, ms, and why the output ended, as far as the protocol said. */
  readonly position: () => number | undefined;
  readonly ended: () => ExitReason | undefined;
  readonly disposed: () => boolean;
};

/** Lets somebody in, for tests of protocols that have no gate. */
export function admit<T>(value: T, fields: Partial<Admission<T>> = {}): TestAdmission<T> {
  const controller = new AbortController();
  let sent = 0;
  let position: number | undefined;
  let ended: ExitReason | undefined;
  let disposed = false;
  return {
    admission: {
      value,
      askedName: "live",
      sessionId: "s".repeat(64),
      token: "t1",
      urlToken: "t1",
      cookie: "tkn=t1; Max-Age=600",
      redirected: false,
      count: (up) => void (sent += up),
      position: (ms) => void (position = ms),
      ends: (reason) => void (ended ??= reason),
      signal: controller.signal,
      [Symbol.dispose]: () => void (disposed = true),
      ...fields,
    },
    withdraw: (reason) => controller.abort(reason),
    bytes: () => sent,
    position: () => position,
    ended: () => ended,
    disposed: () => disposed,
  };
}
