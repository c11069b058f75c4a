import { type Micros, unwrapper } from "../../base/time.ts";
import { mpegtsDemuxer } from "../../containers/mpegts/demuxer.ts";
import { packetSize } from "../../containers/mpegts/packet-writer.ts";
import { microsOf, readPesHeader } from "../../containers/mpegts/pes.ts";
import type { Demuxer } from "../../media/format.ts";
import type { Track } from "../../media/track.ts";
import type { FileWindow } from "./file-window.ts";
import { IndexBuilder, type Layout } from "./layout.ts";

/** BDAV files have a 4-byte time before each packet. */
const m2tsSize = 192;
/** The end of the file in which the last times are looked for. */
const tailLength = 960 * 1024;

/** MPEG-TS files: an index of PES packet starts. */
export const tsLayout: Layout = tsLayoutOf(packetSize);
/** The same with 192-byte packets, as discs and cameras write them. */
export const m2tsLayout: Layout = tsLayoutOf(m2tsSize);

function tsLayoutOf(stride: number): Layout {
  return {
    input: "TS",
    createDemuxer: stride === packetSize ? mpegtsDemuxer : m2tsDemuxer,
    async index(window, headLength, tracks) {
      const builder = new IndexBuilder(tracks);
      const codec = tracks.find((track) => track.kind === "video")?.codec;
      const unwrap = unwrapper(33);
      await eachPes(window, stride, 0, (start) => {
        const time = microsOf(unwrap(start.dts));
        if (!start.video) builder.audio(time, start.offset);
        else if (start.randomAccess || hasKeyframe(start.payload, codec)) builder.keyframe(time, start.offset);
      });
      return { entries: builder.entries, headEnd: Math.ceil(headLength / stride) * stride };
    },
    async lastTime(window) {
      const unwrap = unwrapper(33);
      let last: Micros | undefined;
      const from = Math.max(0, Math.floor((window.size - tailLength) / stride) * stride);
      await eachPes(window, stride, from, (start) => {
        last = Math.max(last ?? 0, microsOf(unwrap(start.dts)));
      });
      return last;
    },
  };
}

type PesStart = {
  readonly offset: number;
  readonly video: boolean;
  readonly randomAccess: boolean;
  /** Raw 33-bit ticks. */
  readonly dts: number;
  /** What the first transport packet has of the payload. */
  readonly payload: Uint8Array;
};

/** Calls `run` for each PES packet of sound or picture that begins in the file from `from` on. */
async function eachPes(window: FileWindow, stride: number, from: number, run: (start: PesStart) => void): Promise<void> {
  for (let offset = from; offset + stride <= window.size; offset += stride) {
    const whole = window.peek(offset, stride) ?? (await window.at(offset, stride));
    if (!whole) return;
    const packet = whole.subarray(stride - packetSize);
    if (packet[0] !== 0x47) {
      offset += 1 - stride; // out of step after damage: look for the next packet byte by byte
      continue;
    }
    if ((packet[1]! & 0x40) === 0 || (packet[3]! & 0x10) === 0) continue;
    const adapted = (packet[3]! & 0x20) !== 0;
    const at = adapted ? 5 + packet[4]! : 4;
    if (at + 9 > packet.length) continue;
    const pes = packet.subarray(at);
    const header = readPesHeader(pes, pes.length);
    const id = pes[3]!;
    if (!header || header.dts === undefined || id < 0xbd || id > 0xef) continue;
    const randomAccess = adapted && packet[4]! > 0 && (packet[5]! & 0x40) !== 0;
    run({ offset, video: id >= 0xe0, randomAccess, dts: header.dts, payload: pes.subarray(header.payload) });
  }
}

/** For writers that do not set the random access mark: parameter sets or an IRAP picture near the start. */
function hasKeyframe(payload: Uint8Array, codec: Track["codec"] | undefined): boolean {
  for (let at = 0; at + 3 < payload.length; at++) {
    if (payload[at] !== 0 || payload[at + 1] !== 0 || payload[at + 2] !== 1) continue;
    const byte = payload[at + 3]!;
    if (codec === "h264" && ((byte & 31) === 5 || (byte & 31) === 7)) return true;
    const type = (byte >> 1) & 63;
    if (codec === "hevc" && ((type >= 16 && type <= 21) || type === 32 || type === 33)) return true;
  }
  return false;
}

/** Takes the 4 bytes before each packet away. */
function m2tsDemuxer(): Demuxer {
  const inner = mpegtsDemuxer();
  let phase = 0;
  return {
    feed(bytes) {
      const kept = new Uint8Array(bytes.length);
      let length = 0;
      for (const byte of bytes) {
        if (phase >= m2tsSize - packetSize) kept[length++] = byte;
        phase = (phase + 1) % m2tsSize;
      }
      return inner.feed(kept.subarray(0, length));
    },
    flush: () => inner.flush(),
  };
}
