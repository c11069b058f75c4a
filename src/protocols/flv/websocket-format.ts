import { webSocketFrame, webSocketFrameHeader } from "../../base/websocket.ts";
import type { Format } from "../../media/format.ts";

/**
 * The same bytes as `format`, each packet in a WebSocket frame of its own, so that frames too are made once for all viewers.
 * A player joins the messages again; where they are cut means nothing to it.
 */
export function overWebSocket(format: Format): Format {
  return {
    name: `${format.name}-websocket`,
    codecs: format.codecs,
    createMuxer(tracks) {
      const muxer = format.createMuxer(tracks);
      return {
        get header() {
          return webSocketFrame(muxer.header);
        },
        add: (packet) => framed(muxer.add(packet)),
        retrack: (next, dts) => framed(muxer.retrack(next, dts)),
        end: () => framed(muxer.end()),
      };
    },
  };
}

function framed(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length === 0 ? [] : [webSocketFrameHeader(length), ...pieces];
}
