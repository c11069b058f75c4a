import { SluiceError } from "../../base/errors.ts";
import { defineProtocol } from "../protocol.ts";
import { fileInput } from "./pull.ts";

/** Recordings on disk as sources of streams. */
export const file = defineProtocol<Record<string, never>>({
  name: "file",
  connector: "File",
  description: "Plays MP4, MOV, Matroska, WebM, MPEG-TS and FLV files: the path is the stream's source.",
  codecs: { publish: [], play: ["h264", "hevc", "av1", "vp9", "vp8", "aac", "mp3", "opus", "ac3", "flac"] },
  watch: [],
  parseOptions(value) {
    const unknown = Object.keys((value ?? {}) as Record<string, unknown>)[0];
    if (unknown !== undefined) throw new SluiceError("config.invalid", `file.${unknown} is not an option; file has none`);
    return {};
  },
  pull: fileInput,
});
