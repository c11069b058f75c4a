/** Message types: Adobe's RTMP specification 1.0, sections 5.4 and 7.1. */
export const messageType = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAckSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  dataAmf3: 15,
  commandAmf3: 17,
  dataAmf0: 18,
  commandAmf0: 20,
  aggregate: 22,
} as const;

/** One whole RTMP message. */
export type RtmpMessage = {
  readonly chunkStreamId: number;
  readonly type: number;
  /** Milliseconds, 32 bits, as sent: wraps after 49.7 days. */
  readonly timestamp: number;
  readonly streamId: number;
  /** Owned by whoever holds the message: never a view into a socket's buffer. */
  readonly payload: Uint8Array;
};
