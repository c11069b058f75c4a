/** Where an output writes. The sink may keep `bytes` until they are on the wire: the writer never changes them afterwards. */
export interface Sink {
  /** Queues bytes for the peer. Never throws; after the peer has gone it does nothing. */
  write(bytes: Uint8Array): void;
  /** True while more is waiting in the kernel's and our own buffer than a healthy peer needs. */
  readonly congested: boolean;
  /** Calls `run` once when the congestion is over (or the sink has closed); dispose to forget it. */
  onDrained(run: () => void): Disposable;
  /** Ends the sink after what is queued has been sent. */
  end(): void;
  /** Aborted when the peer is gone or the sink has ended. */
  readonly signal: AbortSignal;
}
