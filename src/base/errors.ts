/**
 * Every error that crosses a room's border has one of these codes. They are grouped by what the catcher does:
 * a refusal is told to the client, bad input ends one connection, a wrong configuration ends the start (exit code 2).
 */
export const errorCodes = {
  "access.denied": { status: 403, meaning: "Operator code or a rule said no.", todo: "Ask the operator, or come back with a valid token." },
  "access.offline": {
    status: 404,
    meaning: "The stream does not play now and there is nothing to fall back to.",
    todo: "Start the publisher, or configure a fallback.",
  },
  "access.unknown": { status: 404, meaning: "No such stream is configured.", todo: "Add it under `streams`, or answer STREAM_SOURCE." },
  "access.taken": { status: 409, meaning: "Another publisher already pushes to this name.", todo: "Stop the other publisher first." },
  "access.full": {
    status: 503,
    meaning: "A limit is reached: places, bandwidth or both.",
    todo: "Come back after the time that Retry-After says; the message names the limit.",
  },
  "access.ended": {
    status: 403,
    meaning: "The session was ended by a decision or a command.",
    todo: "Open the stream again; it is asked about anew.",
  },
  "input.invalid": {
    status: 400,
    meaning: "Bytes that the protocol or container does not allow.",
    todo: "Mend the sender; the message names the field.",
  },
  "input.oversized": {
    status: 413,
    meaning: "A message or field longer than any honest sender needs.",
    todo: "Send less, or raise the limit.",
  },
  "input.unsupported": {
    status: 415,
    meaning: "A codec, container or feature that Sluice does not have.",
    todo: "Use one of those that the message lists.",
  },
  "config.invalid": {
    status: 400,
    meaning: "The configuration is wrong.",
    todo: "Change the named field to one of the values that the message lists.",
  },
  "listen.failed": { status: 500, meaning: "A port could not be opened.", todo: "Choose another port, or end the program that has it." },
  "source.failed": {
    status: 404,
    meaning: "A configured source could not be opened.",
    todo: "Check the path or URL in the stream's `source`.",
  },
  "api.credentials": {
    status: 401,
    meaning: "The API does not know who calls, or the credentials are wrong.",
    todo: "Send a bearer token, or an account's name and password by HTTP Basic.",
  },
  "api.scope": {
    status: 403,
    meaning: "Who calls the API may not do this.",
    todo: "Use a token or an account with the scope that the message names.",
  },
  "api.unknown": {
    status: 404,
    meaning: "The API has nothing at this path.",
    todo: "Look at /api/v1/openapi.json, or list what there is.",
  },
  "api.conflict": { status: 409, meaning: "What is there does not allow the change.", todo: "The message says what stands against it." },
  "api.changed": {
    status: 412,
    meaning: "It was changed since it was read (`If-Match`).",
    todo: "Read it again, and decide anew.",
  },
  "api.attempts": {
    status: 429,
    meaning: "Too many wrong logins from this network.",
    todo: "Wait as long as Retry-After says, then use the right credentials.",
  },
  "server.failed": { status: 500, meaning: "Something that should not happen.", todo: "Look at the log; it says more than the answer." },
} as const satisfies Record<string, { status: number; meaning: string; todo: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** What a refusal says beside its words. */
export type ErrorDetails = {
  readonly cause?: unknown;
  /** Milliseconds after which another try may go better; HTTP says it as `Retry-After`. */
  readonly retryAfterMs?: number;
  /** The number of the decision, for `sluice why`: it is shown to the refused client. */
  readonly decisionId?: string;
  /** Set when the client was watching until this no; what it got last ended at this media time (ms). */
  readonly watchedMs?: number;
};

/** The one error class of Sluice. `code` is API, `message` is for people and says what to do. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly decisionId: string | undefined;
  readonly watchedMs: number | undefined;
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.decisionId = details.decisionId;
    this.watchedMs = details.watchedMs;
  }
  /** The HTTP status that fits the code. */
  get status(): number {
    return errorCodes[this.code].status;
  }
}

/** True for errors of Sluice, of the given code if one is given. */
export function isSluiceError(error: unknown, code?: ErrorCode): error is SluiceError {
  return error instanceof SluiceError && (code === undefined || error.code === code);
}

/** The words of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
