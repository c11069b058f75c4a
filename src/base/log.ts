/** The kinds are MistServer's, least urgent last. */
export const logKinds = ["FAIL", "ERROR", "WARN", "CONF", "STRM", "ACCS", "AUTH", "INFO", "MEDIUM", "HIGH"] as const;
export type LogKind = (typeof logKinds)[number];

/** Context of a line; `stream` is shown in its own column, the others behind the text. */
export type LogFields = { readonly stream?: string } & Readonly<Record<string, string | number | boolean | undefined>>;

/** A line as it is kept for the API's `log` call. */
export type LogEntry = {
  /** Unix seconds. */
  readonly unix: number;
  readonly kind: LogKind;
  readonly message: string;
  /** The stream that the line is about, or empty. */
  readonly stream: string;
};

/** Where every room writes what a person should know. Never put tokens, keys or passwords into a line. */
export interface Log {
  write(kind: LogKind, message: string, fields?: LogFields): void;
}
