import { Decoder, Demuxer, Muxer } from "node-av/api";

/** Copies streams into another container with the FFmpeg of node-av, which knows enhanced RTMP. `format` is FFmpeg's muxer name. */
export async function remuxModern(from: string, to: string, format: string): Promise<void> {
  await using input = await Demuxer.open(from);
  await using output = await Muxer.open(to, { format });
  const indexes = new Map(input.streams.map((stream) => [stream.index, output.addStream(stream)]));
  for await (using packet of input.packets()) {
    const index = packet && indexes.get(packet.streamIndex);
    if (packet && typeof index === "number") await output.writePacket(packet, index);
  }
}

/** What that FFmpeg reads: a line for each stream and for each packet. */
export async function probeModern(path: string): Promise<{ readonly streams: readonly string[]; readonly packets: readonly string[] }> {
  await using input = await Demuxer.open(path);
  const streams = input.streams.map(({ codecpar }) => [codecpar.codecId, codecpar.width, codecpar.height, codecpar.sampleRate].join(" "));
  const packets: string[] = [];
  for await (using packet of input.packets())
    if (packet) packets.push([packet.streamIndex, packet.dts, packet.pts, packet.isKeyframe, packet.size].join(" "));
  return { streams, packets };
}

/** How many video frames that FFmpeg decodes; it throws at the first that it cannot. */
export async function decodeModern(path: string): Promise<number> {
  await using input = await Demuxer.open(path);
  const video = input.video();
  if (!video) return 0;
  using decoder = await Decoder.create(video, { exitOnError: true });
  let frames = 0;
  for await (using frame of decoder.frames(input.packets(video.index))) if (frame) frames++;
  return frames;
}
