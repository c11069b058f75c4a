/**
 * What the hub costs for each viewer and flush, without sockets: `node bench/hub.ts [viewers]`.
 * A stream of 25 frames and 43 audio packets a second at 2 Mbit/s, flushed every 100 ms of media to sinks that discard.
 */
import { pump } from "../src/base/pump.ts";
import type { Sink } from "../src/base/sink.ts";
import type { Clock } from "../src/base/time.ts";
import { createDirectory } from "../src/streams/directory.ts";
import { audioTrack, tinyFormat, tinyPacket, videoTrack } from "../test/support/tiny-format.ts";

const viewers = Number(process.argv[2] ?? 1_500);
const seconds = 120;
const nothing: Disposable = { [Symbol.dispose]() {} };

let nowMs = 0;
const flushes: (() => void)[] = [];
const clock: Clock = {
  now: () => nowMs,
  monotonic: () => nowMs,
  after: (_ms, run) => {
    flushes.push(run);
    return nothing;
  },
  every: () => nothing,
};
const log = { write: () => {} };
const format = { ...tinyFormat, createMuxer: () => ({ header: new Uint8Array(13), add: plain, retrack: () => [], end: () => [] }) };

function plain(packet: { readonly data: Uint8Array }): readonly Uint8Array[] {
  return [packet.data];
}

await using directory = createDirectory({ clock, log, flushMs: () => 100 });
const writer = directory.publish("bench", { bufferMs: 10_000, segmentMs: 1_900, resume: false, source: "push://" });
writer.describe([videoTrack(), audioTrack()]);

let bytes = 0;
let writes = 0;
const { signal } = new AbortController();
for (let i = 0; i < viewers; i++) {
  const sink: Sink = {
    write: (chunk) => {
      bytes += chunk.length;
      writes++;
    },
    congested: false,
    onDrained: () => nothing,
    end: () => {},
    signal,
  };
  void pump(writer.stream.chunks(format), sink, { signal, count: () => {}, clock });
}

const video = new Uint8Array(9_000);
const audio = new Uint8Array(320);
let flushNs = 0n;
let flushCount = 0;
let packets = 0;
let packetNs = 0n;
for (let ms = 0; ms < seconds * 1000; ms += 20) {
  nowMs = ms;
  const started = process.hrtime.bigint();
  writer.write({ ...tinyPacket(2, ms, true, 4), data: audio });
  if (ms % 40 === 0) writer.write({ ...tinyPacket(1, ms, ms % 2000 === 0, 4), data: video });
  packetNs += process.hrtime.bigint() - started;
  packets += ms % 40 === 0 ? 2 : 1;
  if (ms % 100 === 0) {
    const before = process.hrtime.bigint();
    for (const run of flushes.splice(0)) run();
    if (ms >= (seconds * 1000) / 2) {
      flushNs += process.hrtime.bigint() - before;
      flushCount++;
    }
  }
}
const perCursor = Number(flushNs) / flushCount / viewers;
process.stdout.write(
  `${viewers} viewers, ${flushCount} flushes measured, ${writes} writes, ${(bytes / 1e9).toFixed(1)} GB handed out\n` +
    `${perCursor.toFixed(0)} ns for each viewer and flush, ${(Number(packetNs) / packets).toFixed(0)} ns for each packet written\n` +
    `a flush takes ${(Number(flushNs) / flushCount / 1e6).toFixed(3)} ms\n`,
);
