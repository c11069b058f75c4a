import type { Admission } from "../../src/protocols/protocol.ts";

/** A yes as the gate gives it, and what became of it. */
export type TestAdmission<T> = {
  readonly admission: Admission<T>;
  /** Ends it as the server does when the viewer may not go on. */
  readonly withdraw: (reason: Error) => void;
  readonly bytes: () => number;
  readonly disposed: () => boolean;
};

/** Lets somebody in, for tests of protocols that have no gate. */
export function admit<T>(value: T, fields: Partial<Admission<T>> = {}): TestAdmission<T> {
  const controller = new AbortController();
  let sent = 0;
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
      signal: controller.signal,
      [Symbol.dispose]: () => void (disposed = true),
      ...fields,
    },
    withdraw: (reason) => controller.abort(reason),
    bytes: () => sent,
    disposed: () => disposed,
  };
}
