import { unwrapper } from "../../base/time.ts";
import type { Demuxer, DemuxerOutput } from "../../media/format.ts";
import { createTagDemuxer } from "./tag-demuxer.ts";
import { FlvTagReader } from "./tag-reader.ts";

/** Reads a whole FLV byte stream (a file, an HTTP body). A tag that is cut at the end of the input is left out. */
export function flvDemuxer(): Demuxer {
  const reader = new FlvTagReader();
  const tags = createTagDemuxer();
  const unwrap = unwrapper(32);
  return {
    feed(bytes) {
      const out: DemuxerOutput[] = [];
      for (const { type, timestampMs, body } of reader.read(bytes)) out.push(...tags.tag(type, unwrap(timestampMs), body));
      return out;
    },
    flush() {
      return [];
    },
  };
}
