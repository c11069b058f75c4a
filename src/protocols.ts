import { file } from "./protocols/file/index.ts";
import { flv } from "./protocols/flv/index.ts";
import { hls } from "./protocols/hls/index.ts";
import { http } from "./protocols/http/index.ts";
import type { Protocol } from "./protocols/protocol.ts";
import { rtmp } from "./protocols/rtmp/index.ts";

/** THE registry: one line for each protocol. Routes of the media port are tried in this order. */
export const protocols: readonly Protocol[] = [rtmp, hls, flv, http, file] as readonly Protocol[];
