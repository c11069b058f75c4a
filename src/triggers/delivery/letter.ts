/** A notification that has to arrive: one firing for one handler. */
export type NewLetter = {
  /** The trigger's name. */
  readonly trigger: string;
  /** The handler's URL or path: whom it is for, also after a restart. */
  readonly handler: string;
  /** Letters with the same key reach a handler one after the other. */
  readonly orderKey: string;
  /** The payload's fields as JSON. */
  readonly payload: string;
  /** The same at each attempt, so that a handler can drop what it has seen. */
  readonly uuid: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
};

export type LetterState = "waiting" | "dead";

/** What an attempt that failed leaves behind. */
export type LetterOutcome = {
  readonly attempts: number;
  /** Unix milliseconds of the next attempt. */
  readonly nextAt: number;
  readonly state: LetterState;
  /** What went wrong last, in words; empty before the first attempt. */
  readonly error: string;
};

/** A letter as it is kept. `id` is its sequence number: a later letter has a higher one, also over restarts. */
export type Letter = NewLetter & LetterOutcome & { readonly id: number };

/** What is known of a letter without reading it. `bytes` is what it counts against the limit. */
export type LetterLabel = Pick<Letter, "id" | "handler" | "orderKey" | "attempts" | "nextAt"> & { readonly bytes: number };

export type LetterQuery = {
  readonly state?: LetterState | undefined;
  /** Only letters after this number. */
  readonly after?: number | undefined;
  readonly limit: number;
};

export type LettersSize = { readonly letters: number; readonly bytes: number };

/**
 * Where letters are kept. Each change is on the disk when it resolves and rejects when the disk refuses it; changes that
 * are asked for within one turn of the event loop are made together or not at all.
 */
export interface LetterStore {
  /** Resolves with the letter's number. */
  add(letter: NewLetter): Promise<number>;
  remove(id: number): Promise<void>;
  update(id: number, outcome: LetterOutcome): Promise<void>;
  read(id: number): Promise<Letter | undefined>;
  /** All that wait, in order. */
  waiting(): Promise<readonly LetterLabel[]>;
  list(query: LetterQuery): Promise<readonly Letter[]>;
  deadSize(): Promise<LettersSize>;
  /** Drops the oldest dead letters until so many bytes are free, or none is left. Resolves with what was dropped. */
  dropDead(bytes: number): Promise<LettersSize>;
}
