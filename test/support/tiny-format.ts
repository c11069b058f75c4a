import type { Format } from "../../src/media/format.ts";
import type { Packet } from "../../src/media/packet.ts";
import type { AudioTrack, Track, VideoTrack } from "../../src/media/track.ts";

/** A video track that needs no codec. */
export function videoTrack(changes: Partial<VideoTrack> = {}): VideoTrack {
  return {
    kind: "video",
    id: 1,
    codec: "h264",
    config: Uint8Array.of(1, 0x4d, 0x40, 0x1e),
    codecString: "avc1.4d401e",
    width: 640,
    height: 360,
    frameRate: 25,
    ...changes,
  };
}

/** An audio track that needs no codec. */
export function audioTrack(changes: Partial<AudioTrack> = {}): AudioTrack {
  return {
    kind: "audio",
    id: 2,
    codec: "aac",
    config: Uint8Array.of(0x12, 0x10),
    codecString: "mp4a.40.2",
    sampleRate: 44_100,
    channels: 2,
    ...changes,
  };
}

/** A packet whose data says which one it is. Times in milliseconds. */
export function tinyPacket(trackId: number, ms: number, keyframe: boolean, size = 8): Packet {
  const data = new Uint8Array(size);
  new DataView(data.buffer).setUint32(0, ms);
  return { trackId, dts: ms * 1000, pts: ms * 1000, keyframe, data };
}

/** A format whose bytes are readable text without state: `H(1,2)` header, `R(1,2)` in-band, `1k40;` a packet, `E` the end. */
export const tinyFormat: Format = {
  name: "tiny",
  codecs: ["h264", "hevc", "aac", "opus"],
  createMuxer(tracks) {
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    const list = (): string => tracks.map((track: Track) => `${track.id}:${track.codecString}`).join(",");
    return {
      get header() {
        return text(`H(${list()})`);
      },
      add: (packet) => [text(tinyText(packet))],
      retrack(next) {
        tracks = next;
        return [text(`R(${list()})`)];
      },
      end: () => [text("E")],
    };
  },
};

/** What `tinyFormat` makes of a packet. */
export function tinyText(packet: Packet): string {
  return `${packet.trackId}${packet.keyframe ? "k" : "p"}${packet.dts / 1000};`;
}
