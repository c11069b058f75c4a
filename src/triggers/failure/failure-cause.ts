/**
 * Why a handler gave no usable answer. `onFail` may say something else for each; the list is part of the configuration's
 * language, so names are only added.
 */
export const failureCauses = {
  timeout: "it gave no answer within its time limit",
  connection: "it could not be reached (HTTP) or started (executable)",
  status: "it answered with an HTTP status that is no answer",
  answer: "it answered what the trigger does not take",
  busy: "it was not asked: too many calls were in flight, and the wait for a free place was over",
  open: "it was not asked: it failed again and again, and is left alone for a while",
  error: "the function threw or rejected",
} as const satisfies Record<string, string>;

export type FailureCause = keyof typeof failureCauses;
