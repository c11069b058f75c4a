import { describe, expect, it } from "vitest";
import type { Fragment } from "../../streams/stream.ts";
import { mediaPlaylist, multivariantPlaylist, withAround } from "./playlist.ts";

const fragment = (sequence: number, duration: number, discontinuity = false): Fragment => ({
  sequence,
  start: sequence * 2_000_000,
  duration,
  discontinuity,
  wallClock: Date.UTC(2026, 10, 22, 12, 0, 0) + sequence * 2000,
  tracks: [],
  packets: async () => [],
});
const uri = ({ sequence }: Fragment): string => `${sequence}.ts`;

describe("a media playlist", () => {
  it("shows a rolling window with times, discontinuities and their count", () => {
    const fragments = [fragment(7, 2_000_000), fragment(8, 1_966_667, true), fragment(9, 2_033_333)];
    const text = mediaPlaylist({ kind: "live", fragments, uri, targetDuration: 3, discontinuitySequence: 2, ended: false });
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:3
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:14.000Z
#EXTINF:2.000000,
7.ts
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:16.000Z
#EXTINF:1.966667,
8.ts
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:18.000Z
#EXTINF:2.033333,
9.ts
`);
  });

  it("of a file is whole and has an end", () => {
    const fragments = [fragment(0, 2_000_000, true), fragment(1, 1_000_000)];
    expect(mediaPlaylist({ kind: "vod", fragments, uri, targetDuration: 2, discontinuitySequence: 0, ended: true })).toBe(`#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:2.000000,
0.ts
#EXTINF:1.000000,
1.ts
#EXT-X-ENDLIST
`);
  });
});

describe("a multivariant playlist", () => {
  const config = new Uint8Array(0);

  it("describes each variant", () => {
    const text = multivariantPlaylist([
      {
        uri: "1_2/index.m3u8",
        bandwidth: 2_000_000.2,
        averageBandwidth: 1_500_000,
        frameRate: 29.97,
        tracks: [
          { kind: "video", id: 1, codec: "h264", config, codecString: "avc1.4d401e", width: 640, height: 360 },
          { kind: "audio", id: 2, codec: "aac", config, codecString: "mp4a.40.2", sampleRate: 48_000, channels: 2 },
        ],
      },
      {
        uri: "3/index.m3u8",
        bandwidth: 64_000,
        averageBandwidth: 64_000,
        frameRate: 0,
        tracks: [{ kind: "audio", id: 3, codec: "mp3", config, codecString: "", sampleRate: 48_000, channels: 2 }],
      },
    ]);
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=2000001,AVERAGE-BANDWIDTH=1500000,RESOLUTION=640x360,FRAME-RATE=29.970,CODECS="avc1.4d401e,mp4a.40.2"
1_2/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,AVERAGE-BANDWIDTH=64000
3/index.m3u8
`);
  });

  it("carries the viewer's query on each address, whatever is in it", () => {
    const query = `user=$%26&tkn=${encodeURIComponent("a&b\n$&ü")}`;
    expect(withAround("#EXTM3U\n1.ts\n#EXT-X-ENDLIST\n2.ts\n", { prefix: "", query })).toBe(
      `#EXTM3U\n1.ts?${query}\n#EXT-X-ENDLIST\n2.ts?${query}\n`,
    );
    expect(withAround("1.ts\n", { prefix: "", query: "" })).toBe("1.ts\n");
    expect(withAround("#EXTM3U\n1.ts\n", { prefix: "../~tkn=a$&/1_2/", query: "" })).toBe("#EXTM3U\n../~tkn=a$&/1_2/1.ts\n");
  });
});
