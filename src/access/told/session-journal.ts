/** What must be known of a session to tell its end after the server was killed. */
export type SessionRecord = {
  /** The session's id. */
  readonly id: string;
  /** JSON; what it means is the writer's business. */
  readonly value: string;
};

/**
 * Remembers sessions that may have begun and were not ended. Each change is on the disk when it resolves and rejects when
 * the disk refuses it; changes that are asked for within one turn of the event loop, those of the outbox among them, are
 * made together or not at all.
 */
export interface SessionJournal {
  /** Adds sessions, or replaces what is known of them. */
  write(records: readonly SessionRecord[]): Promise<void>;
  remove(id: string): Promise<void>;
  read(): Promise<readonly SessionRecord[]>;
}
