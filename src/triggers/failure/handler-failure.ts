import type { FailureCause } from "./failure-cause.ts";

/** A handler that could not be asked, or whose answer cannot be used. The message ends the sentence "the handler failed: ...". */
export class HandlerFailure extends Error {
  override readonly name = "HandlerFailure";
  /** Which row of `onFail` holds; "answer" if nothing is said. */
  readonly sort: FailureCause;
  constructor(message: string, options: { readonly cause?: unknown; readonly sort?: FailureCause } = {}) {
    super(message, options);
    this.sort = options.sort ?? "answer";
  }
}
