/**
 * A program: `node modern-publisher.ts FILE URL` sends a file to an RTMP address in real time with the FFmpeg of node-av.
 * In a process of its own, because that FFmpeg keeps its connection until the process ends.
 */
import { Demuxer, Muxer } from "node-av/api";

const [from = "", to = ""] = process.argv.slice(2);
const input = await Demuxer.open(from);
const output = await Muxer.open(to, { format: "flv" });
const indexes = new Map(input.streams.map((stream) => [stream.index, output.addStream(stream)]));
const begun = performance.now();
for await (const packet of input.packets()) {
  const index = packet && indexes.get(packet.streamIndex);
  if (!packet || typeof index !== "number") continue;
  const { num, den } = packet.timeBase;
  const early = (Number(packet.dts) * num * 1000) / den - (performance.now() - begun);
  if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
  await output.writePacket(packet, index);
}
await output.close();
process.exit(0);
