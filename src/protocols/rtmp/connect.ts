import type { Command } from "./command.ts";
import type { RtmpPeer } from "./peer.ts";
import { setPeerBandwidth, windowAckSize } from "./wire/control.ts";

/** Longest chunk that Flash Player takes; with it most messages are one chunk. */
export const ourChunkSize = 65_536;
const windowSize = 2_500_000;

/** FourCCs of enhanced RTMP v2 that we take, and its bit for "can forward". */
const canForward = 4;
/** Bits of `capsEx`: what our demuxer understands; reconnect requests (1) we do not send. */
const multitrack = 2;
const modEx = 4;
const nanoseconds = 8;
const videoFourCcs = ["avc1", "hvc1", "av01", "vp09", "vp08"];
const audioFourCcs = ["mp4a", ".mp3", "Opus", "ac-3", "fLaC"];

/**
 * Answers `connect`: windows, chunk size, and success. A client that tells what it can do in enhanced RTMP is told what we
 * take; others see nothing of it.
 */
export function answerConnect(peer: RtmpPeer, command: Command): void {
  const { fourCcList, videoFourCcInfoMap, audioFourCcInfoMap, capsEx, objectEncoding } = command.object;
  const enhanced = [fourCcList, videoFourCcInfoMap, audioFourCcInfoMap, capsEx].some((value) => value !== undefined);
  const abilities = enhanced
    ? {
        fourCcList: [...videoFourCcs, ...audioFourCcs],
        videoFourCcInfoMap: infoMap(videoFourCcs),
        audioFourCcInfoMap: infoMap(audioFourCcs),
        capsEx: multitrack | modEx | nanoseconds,
      }
    : {};
  peer.send(windowAckSize(windowSize), setPeerBandwidth(windowSize));
  peer.useChunkSize(ourChunkSize);
  peer.result(
    command.transaction || 1,
    { fmsVer: "FMS/3,5,7,7009", capabilities: 31, mode: 1, ...abilities },
    {
      level: "status",
      code: "NetConnection.Connect.Success",
      description: "Connection succeeded.",
      objectEncoding: objectEncoding === 3 ? 3 : 0,
      ...abilities,
    },
  );
}

function infoMap(fourCcs: readonly string[]): Record<string, number> {
  return Object.fromEntries(fourCcs.map((fourCc) => [fourCc, canForward]));
}
