import { readFile } from "node:fs/promises";
import { sampleMedia } from "./media.ts";
import { RtmpClient, type Sent } from "./rtmp-client.ts";

/** A publisher that a test can do everything with: it has sent `seconds` of H.264 and AAC at once and stays connected. */
export async function publishSample(port: number, name: string, seconds = 8): Promise<RtmpClient> {
  const client = await openPublisher(port, name);
  client.send(...(await sampleTags(seconds)));
  return client;
}

/** Connects and publishes; rejects when the server says no. */
export async function openPublisher(port: number, name: string): Promise<RtmpClient> {
  const client = new RtmpClient(port);
  client.connect("live", { tcUrl: `rtmp://127.0.0.1:${port}/live` });
  client.command("createStream", null);
  client.command("publish", null, name, "live");
  await client.status("NetStream.Publish.Start");
  return client;
}

/** The tags of a small recording as RTMP messages (FLV tags and RTMP messages have the same types and bodies). */
async function sampleTags(seconds: number): Promise<readonly Sent[]> {
  const file = await readFile(await sampleMedia({ video: "h264", audio: "aac", seconds, container: "flv" }));
  const tags: Sent[] = [];
  for (let at = 13; at + 11 <= file.length; ) {
    const size = file.readUIntBE(at + 1, 3);
    const timestamp = file.readUIntBE(at + 4, 3) + file.readUInt8(at + 7) * 2 ** 24;
    const type = file.readUInt8(at);
    if (type !== 18) tags.push({ type, timestamp, payload: file.subarray(at + 11, at + 11 + size) });
    at += 11 + size + 4;
  }
  return tags;
}
